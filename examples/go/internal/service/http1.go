//go:build !go1.24

package service

import (
	"errors"
	"net/http"
)

// acceptHTTP2 does nothing: before Go 1.24, net/http speaks HTTP/2 over TLS alone.
func acceptHTTP2(*http.Server) {}

type noHTTP2 struct{}

func (noHTTP2) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("HTTP/2 without TLS needs Go 1.24")
}

// NewHTTP2Client returns a client whose every call fails and says why.
func NewHTTP2Client() *http.Client {
	return &http.Client{Transport: noHTTP2{}}
}
