"""One exchange, from head to access log: route, admit, attempt, relay, finish. Start with exchange.py."""
