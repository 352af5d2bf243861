// A service of Go's net/http that reports a span of its own: it takes part in a trace by B3 or by traceparent, asks a
// next service through its sidecar, and tells a collector in Zipkin v2 JSON. Ends when its standard input does.
// Usage: traced ADDRESS NEXT_URL NEXT_HOST COLLECTOR_URL
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const service = "go-service"

// span is one of Zipkin's; its fields are those of zipkin2-api.yaml.
type span struct {
	TraceID     string            `json:"traceId"`
	ID          string            `json:"id"`
	ParentID    string            `json:"parentId,omitempty"`
	Name        string            `json:"name"`
	Kind        string            `json:"kind"`
	Timestamp   int64             `json:"timestamp"`
	Duration    int64             `json:"duration"`
	Local       map[string]string `json:"localEndpoint"`
	Annotations []any             `json:"annotations"`
	Tags        map[string]string `json:"tags"`
}

// begin makes the span of one request, a child of the span that its headers name.
func begin(r *http.Request) span {
	var id [8]byte
	_, _ = rand.Read(id[:])
	found := span{
		TraceID:     r.Header.Get("x-b3-traceid"),
		ID:          hex.EncodeToString(id[:]),
		ParentID:    r.Header.Get("x-b3-spanid"),
		Name:        r.Method + " " + r.URL.Path,
		Kind:        "SERVER",
		Timestamp:   time.Now().UnixMicro(),
		Local:       map[string]string{"serviceName": service},
		Annotations: []any{},
		Tags:        map[string]string{"guid:x-request-id": r.Header.Get("x-request-id")},
	}
	// version-trace-parent-flags, see the W3C's Trace Context
	if parts := strings.Split(r.Header.Get("traceparent"), "-"); found.TraceID == "" && len(parts) == 4 {
		found.TraceID, found.ParentID = parts[1], parts[2]
	}
	return found
}

// handOn writes the span's context as the headers of a request that it makes, in the form in which its own came.
func (s span) handOn(from, to http.Header) {
	for _, name := range []string{"x-request-id", "x-b3-traceid", "x-b3-sampled", "tracestate"} {
		if value := from.Get(name); value != "" {
			to.Set(name, value)
		}
	}
	if from.Get("x-b3-traceid") != "" {
		to.Set("x-b3-spanid", s.ID)
		to.Set("x-b3-parentspanid", s.ParentID)
	}
	if from.Get("traceparent") != "" {
		to.Set("traceparent", "00-"+s.TraceID+"-"+s.ID+"-01")
	}
}

// report tells the collector, and returns when it has it.
func (s span) report(collector string) error {
	s.Duration = time.Now().UnixMicro() - s.Timestamp + 1 // Zipkin knows no spans of no length
	body, err := json.Marshal([]span{s})
	if err != nil {
		return err
	}
	response, err := http.Post(collector, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return fmt.Errorf("the collector answered %s", response.Status)
	}
	return nil
}

func main() {
	address, next, host, collector := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	client := &http.Client{Timeout: 20 * time.Second}
	serve := func(w http.ResponseWriter, r *http.Request) {
		own := begin(r)
		call, err := http.NewRequestWithContext(r.Context(), http.MethodGet, next, nil)
		if err != nil {
			fail(err)
		}
		call.Host = host
		own.handOn(r.Header, call.Header)
		response, err := client.Do(call)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		answer, _ := io.ReadAll(response.Body)
		if err := own.report(collector); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(response.StatusCode)
		_, _ = w.Write(answer)
	}
	go func() { fail(http.ListenAndServe(address, http.HandlerFunc(serve))) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
