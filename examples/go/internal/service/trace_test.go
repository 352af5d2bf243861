package service

import (
	"net/http"
	"reflect"
	"testing"
)

func TestPropagateHandsOnTraceHeadersAndNothingElse(t *testing.T) {
	from := http.Header{}
	from.Set("X-Request-Id", "r")
	from.Set("Traceparent", "t")
	from.Add("Tracestate", "a=1")
	from.Add("Tracestate", "b=2")
	from.Set("B3", "0")
	from.Set("End-User", "jason")
	from.Set("Authorization", "secret")
	to := http.Header{"Accept": {"text/plain"}}

	Propagate(from, to)

	want := http.Header{
		"Accept":       {"text/plain"},
		"X-Request-Id": {"r"},
		"Traceparent":  {"t"},
		"Tracestate":   {"a=1", "b=2"},
		"B3":           {"0"},
		"End-User":     {"jason"},
	}
	if !reflect.DeepEqual(to, want) {
		t.Errorf("got %v", to)
	}
}

func TestPropagatedShowsOnlyWhatIsThere(t *testing.T) {
	from := http.Header{}
	from.Set("X-B3-TraceId", "80f198ee56343ba864fe8b2a57d3eff7")
	from.Set("Cookie", "a=b")

	if got := Propagated(from); !reflect.DeepEqual(got, map[string]string{"x-b3-traceid": "80f198ee56343ba864fe8b2a57d3eff7"}) {
		t.Errorf("got %v", got)
	}
}
