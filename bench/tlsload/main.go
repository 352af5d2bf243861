// Tlsload sends one request over and over on mutual TLS connections, and says how long the answers took. wrk cannot
// show a certificate, and ab does not get along with TLS 1.3.
package main

import (
	"bufio"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

type result struct {
	latencies []time.Duration
	errors    int
}

func main() {
	address := flag.String("address", "", "where to connect")
	pair := flag.String("pair", "", "PEM file with certificate chain and key")
	request := flag.String("request", "", "file with the request's bytes")
	connections := flag.Int("connections", 50, "at once")
	seconds := flag.Int("seconds", 2, "of load")
	reconnect := flag.Bool("reconnect", false, "a full handshake for each request")
	flag.Parse()

	certificate, err := tls.LoadX509KeyPair(*pair, *pair)
	check(err)
	sent, err := os.ReadFile(*request)
	check(err)
	config := &tls.Config{
		Certificates:       []tls.Certificate{certificate},
		InsecureSkipVerify: true, // who answers is not in question here
		NextProtos:         []string{"istio-http/1.1", "istio", "http/1.1"},
	}
	began := time.Now()
	deadline := began.Add(time.Duration(*seconds) * time.Second)
	results := make([]result, *connections)
	var all sync.WaitGroup
	for number := range results {
		all.Add(1)
		go func(found *result) {
			defer all.Done()
			for time.Now().Before(deadline) {
				if err := talk(*address, config, sent, deadline, *reconnect, found); err != nil {
					found.errors++
				}
			}
		}(&results[number])
	}
	all.Wait()
	report(results, time.Since(began))
}

// talk makes a connection and asks until the deadline, or once.
func talk(address string, config *tls.Config, sent []byte, deadline time.Time, once bool, found *result) error {
	begins := time.Now()
	raw, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.SetDeadline(deadline.Add(10 * time.Second))
	connection := tls.Client(raw, config)
	reader := bufio.NewReaderSize(connection, 16384)
	for {
		if _, err := connection.Write(sent); err != nil {
			return err
		}
		if err := answer(reader); err != nil {
			return err
		}
		now := time.Now()
		found.latencies = append(found.latencies, now.Sub(begins))
		if once || now.After(deadline) {
			return nil
		}
		begins = now
	}
}

// answer reads one response with a content-length.
func answer(reader *bufio.Reader) error {
	length, ok := 0, false
	for first := true; ; first = false {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := strings.TrimSpace(string(line))
		if first {
			ok = strings.HasPrefix(text, "HTTP/1.1 200")
		} else if text == "" {
			break
		} else if name, value, _ := strings.Cut(text, ":"); strings.EqualFold(name, "content-length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	if _, err := io.CopyN(io.Discard, reader, int64(length)); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("not 200")
	}
	return nil
}

func report(results []result, took time.Duration) {
	var all []time.Duration
	errors := 0
	for _, found := range results {
		all = append(all, found.latencies...)
		errors += found.errors
	}
	sort.Slice(all, func(one, other int) bool { return all[one] < all[other] })
	at := func(share float64) int64 {
		if len(all) == 0 {
			return 0
		}
		return all[int(share*float64(len(all)-1))].Microseconds()
	}
	fmt.Printf("RESULT {\"requests\": %d, \"microseconds\": %d, \"p50\": %d, \"p99\": %d, \"errors\": %d}\n",
		len(all), took.Microseconds(), at(0.5), at(0.99), errors)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
