package grpc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Call asks one method and reads its answer into reply. metadata goes along as headers, and so does what is left of
// the context's time. The client must speak HTTP/2. A status that is not OK is an *Error.
func Call(ctx context.Context, client *http.Client, method string, metadata http.Header, request, reply any) error {
	var body bytes.Buffer
	if err := writeMessage(&body, request); err != nil {
		return err
	}
	call, err := http.NewRequestWithContext(ctx, http.MethodPost, method, &body)
	if err != nil {
		return err
	}
	call.Header = metadata.Clone()
	call.Header.Set("Content-Type", contentType)
	call.Header.Set("TE", "trailers")
	if deadline, limited := ctx.Deadline(); limited {
		call.Header.Set("Grpc-Timeout", fmt.Sprintf("%dm", time.Until(deadline).Milliseconds()))
	}
	response, err := client.Do(call)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return readReply(response, reply)
}

func readReply(response *http.Response, reply any) error {
	if response.StatusCode != http.StatusOK {
		return &Error{Unknown, response.Status}
	}
	if response.Header.Get("Grpc-Status") != "" {
		return status(response.Header)
	}
	failed := readMessage(response.Body, reply)
	// The trailers, which have the status, are there when the body has been read to its end.
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if err := status(response.Trailer); err != nil {
		return err
	}
	return failed
}

func status(fields http.Header) error {
	code, err := strconv.Atoi(fields.Get("Grpc-Status"))
	if err != nil {
		return &Error{Unknown, "an answer without grpc-status"}
	}
	if Code(code) == OK {
		return nil
	}
	message, err := url.PathUnescape(fields.Get("Grpc-Message"))
	if err != nil {
		message = fields.Get("Grpc-Message")
	}
	return &Error{Code(code), message}
}
