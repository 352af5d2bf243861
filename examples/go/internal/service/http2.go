//go:build go1.24

package service

import "net/http"

// acceptHTTP2 lets the server take HTTP/2 without TLS beside HTTP/1: the sidecar beside it has ended the TLS.
func acceptHTTP2(server *http.Server) {
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
}

// NewHTTP2Client returns a client that speaks HTTP/2 without TLS. It asks no HTTP proxy: Go speaks HTTP/1 to those.
func NewHTTP2Client() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}}
}
