//go:build go1.24

package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"example.com/mesh/internal/grpc"
	"example.com/mesh/internal/service"
)

// ask calls the method over HTTP/2, as often as there are items, and returns the last answer.
func ask(t *testing.T, unavailableEvery int64, items ...string) (reply stockReply, err error) {
	t.Helper()
	server := httptest.NewUnstartedServer(routes(service.NewInstance("inventory-service"), unavailableEvery))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client := service.NewHTTP2Client()
	defer client.CloseIdleConnections()
	for _, item := range items {
		reply = stockReply{}
		err = grpc.Call(ctx, client, server.URL+"/mesh.Inventory/Stock", http.Header{}, stockRequest{Item: item}, &reply)
	}
	return reply, err
}

func code(err error) grpc.Code {
	var status *grpc.Error
	if errors.As(err, &status) {
		return status.Code
	}
	return grpc.OK
}

func TestAnswerNamesTheNumberAndWhoAnswered(t *testing.T) {
	reply, err := ask(t, 0, "1", "3")
	if err != nil || reply.InStock != 42 || reply.Service != "inventory-service" || reply.Count != 2 {
		t.Errorf("got %+v, %v", reply, err)
	}
}

func TestUnknownItemIsNotFound(t *testing.T) {
	_, err := ask(t, 0, "99")
	if code(err) != grpc.NotFound || err.Error() != "gRPC status 5: no item 99" {
		t.Errorf("got %v", err)
	}
}

func TestEveryNthAnswerIsUnavailable(t *testing.T) {
	if _, err := ask(t, 3, "1", "1"); err != nil {
		t.Errorf("the second: %v", err)
	}
	if _, err := ask(t, 3, "1", "1", "1"); code(err) != grpc.Unavailable {
		t.Errorf("the third: %v", err)
	}
}
