package grpc

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAMessageIsFramedAsGRPCSays(t *testing.T) {
	var frame bytes.Buffer
	if err := writeMessage(&frame, "é"); err != nil {
		t.Fatal(err)
	}
	if frame.String() != "\x00\x00\x00\x00\x04\"é\"" {
		t.Errorf("got %q", frame.String())
	}
	var message string
	if err := readMessage(&frame, &message); err != nil || message != "é" {
		t.Errorf("got %q, %v", message, err)
	}
}

func TestAMessageThatCannotBeReadIsAnError(t *testing.T) {
	for _, frame := range []string{"", "\x00\x00", "\x00\x00\x00\x00\x09{}", "\x01\x00\x00\x00\x02{}", "\x00\xff\x00\x00\x00{}"} {
		var message any
		if readMessage(strings.NewReader(frame), &message) == nil {
			t.Errorf("%q was read", frame)
		}
	}
}

func TestAReplyWithoutAStatusIsAnError(t *testing.T) {
	response := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("\x00\x00\x00\x00\x02{}"))}
	var reply any
	if err := readReply(response, &reply); err == nil || !strings.Contains(err.Error(), "grpc-status") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNotGRPCIsRefused(t *testing.T) {
	recorder := httptest.NewRecorder()
	handler := Unary(func(*http.Request, string) (string, error) { return "", nil })
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/mesh.Inventory/Stock", nil))
	if recorder.Code != http.StatusUnsupportedMediaType {
		t.Errorf("got %d", recorder.Code)
	}
}
