package service

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestIdentityTellsTheVersionAndCountsTheAnswers(t *testing.T) {
	t.Setenv("VERSION", "v2")
	instance := NewInstance("user-service")

	first, second := instance.Identity(), instance.Identity()

	if first.Service != "user-service" || first.Version != "v2" || first.Host == "" {
		t.Errorf("got %+v", first)
	}
	if first.Count != 1 || second.Count != 2 {
		t.Errorf("counted %d, then %d", first.Count, second.Count)
	}
}

func TestVersionIsV1WhenTheEnvironmentNamesNone(t *testing.T) {
	t.Setenv("VERSION", "")
	if version := NewInstance("user-service").Identity().Version; version != "v1" {
		t.Errorf("got %q", version)
	}
}

func TestHealthIsToldBesideTheRoutes(t *testing.T) {
	server := httptest.NewServer(withHealth(http.NotFoundHandler()))
	defer server.Close()

	if err := checkHealth(strings.TrimPrefix(server.URL, "http://")); err != nil {
		t.Error(err)
	}
}

func TestHealthCheckFailsWhenNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()

	if checkHealth(address) == nil {
		t.Error("a service that is not there was called healthy")
	}
}

func TestRunLetsARequestInFlightFinishBeforeItStops(t *testing.T) {
	address := freeAddress(t)
	entered, release := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		w.WriteHeader(http.StatusTeapot)
	})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	stopped := make(chan error, 1)
	go func() { stopped <- run(ctx, address, handler) }()
	waitForListener(t, address)

	status := make(chan int, 1)
	go func() {
		response, err := http.Get("http://" + address + "/")
		if err != nil {
			status <- 0
			return
		}
		response.Body.Close()
		status <- response.StatusCode
	}()
	<-entered
	stop()
	select {
	case err := <-stopped:
		t.Fatalf("stopped with a request in flight: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)

	if got := <-status; got != http.StatusTeapot {
		t.Errorf("the request in flight got %d", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func waitForListener(t *testing.T, address string) {
	t.Helper()
	for i := 0; i < 500; i++ {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			connection.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nobody listens on %s", address)
}
