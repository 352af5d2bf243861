// Package service is what every example service shares: who it is, how it starts and stops, and how it answers.
package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// How long open requests may take after SIGTERM. Shorter than the ten seconds docker waits before it kills.
const shutdownTimeout = 8 * time.Second

// Identity says which instance answered. Every JSON answer carries one, so that whoever looks at the answer sees
// where the mesh sent the request.
type Identity struct {
	Service string `json:"service"`
	Version string `json:"version"`
	Host    string `json:"host"`
	Count   int64  `json:"count"`
}

// Instance is one running copy of a service.
type Instance struct {
	name, version, host string
	answered            atomic.Int64
}

// NewInstance names this copy: VERSION from the environment ("v1" when unset) and the machine's host name.
func NewInstance(name string) *Instance {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &Instance{name: name, version: Env("VERSION", "v1"), host: host}
}

// Identity returns who this is, and counts one answer.
func (i *Instance) Identity() Identity {
	return Identity{Service: i.name, Version: i.version, Host: i.host, Count: i.answered.Add(1)}
}

// Env returns the environment variable, or the fallback when it is unset or empty.
func Env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

// WriteJSON answers with the value as indented JSON, which is kind to whoever reads it with curl.
func WriteJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client may have left; there is nobody to tell.
	_, _ = w.Write(append(body, '\n'))
}

// WriteError answers with a JSON object that holds only the reason.
func WriteError(w http.ResponseWriter, status int, reason string) {
	WriteJSON(w, status, map[string]string{"error": reason})
}

// Main runs the service until SIGINT or SIGTERM, or, called as "program -healthcheck", asks the copy that runs in the
// same container for its health: an image made from scratch has no curl to do it.
func Main(name string, routes func(*Instance) http.Handler) {
	log.SetPrefix(name + " ")
	address := Env("ADDRESS", "127.0.0.1:8080")
	var err error
	if len(os.Args) == 2 && os.Args[1] == "-healthcheck" {
		err = checkHealth(address)
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, address, withHealth(routes(NewInstance(name))))
	}
	if err != nil {
		log.Fatal(err)
	}
}

func withHealth(routes http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", routes)
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	return mux
}

func checkHealth(address string) error {
	client := http.Client{Timeout: 2 * time.Second}
	response, err := client.Get("http://" + address + "/healthz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/healthz answered %s", response.Status)
	}
	return nil
}

// run serves until ctx ends, then lets the requests in flight finish.
func run(ctx context.Context, address string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute, // longer than a proxy keeps its side open, so that the proxy closes first
	}
	acceptHTTP2(server)
	log.Printf("listens on %s", listener.Addr())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	log.Print("finishes its open requests")
	deadline, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(deadline); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
