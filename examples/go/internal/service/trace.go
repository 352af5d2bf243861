package service

import "net/http"

// propagated are the request headers that a service in a mesh hands on to the services it calls. The sidecars write the
// trace headers, but only the application knows which outgoing call belongs to which incoming request. "end-user" is
// not about tracing: routes choose by it, all along the way.
var propagated = []string{
	"x-request-id",
	"x-b3-traceid",
	"x-b3-spanid",
	"x-b3-parentspanid",
	"x-b3-sampled",
	"x-b3-flags",
	"b3",
	"traceparent",
	"tracestate",
	"end-user",
}

// Propagate copies the headers to hand on from an incoming request to an outgoing one.
func Propagate(from, to http.Header) {
	for _, name := range propagated {
		for _, value := range from.Values(name) {
			to.Add(name, value)
		}
	}
}

// Propagated returns the headers to hand on that are present, by lower-case name: what an answer shows of them.
func Propagated(from http.Header) map[string]string {
	present := make(map[string]string)
	for _, name := range propagated {
		if value := from.Get(name); value != "" {
			present[name] = value
		}
	}
	return present
}
