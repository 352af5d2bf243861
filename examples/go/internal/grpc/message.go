// Package grpc is as much of gRPC's wire format as a unary call needs, on net/http and without generated code, so that
// nothing has to be downloaded. See PROTOCOL-HTTP2.md in grpc/grpc; programs of your own use google.golang.org/grpc.
package grpc

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The messages are JSON: gRPC leaves that to the two sides, and protobuf is not in the standard library.
const contentType = "application/grpc+json"

// As much as grpc-go takes unless told otherwise.
const maxMessage = 4 << 20

// Code is one of gRPC's status codes.
type Code int

// The codes that the services here use.
const (
	OK              Code = 0
	Unknown         Code = 2
	InvalidArgument Code = 3
	NotFound        Code = 5
	Unavailable     Code = 14
)

// Error is a call that did not end with OK.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string {
	return fmt.Sprintf("gRPC status %d: %s", e.Code, e.Message)
}

// writeMessage writes a byte that says "not compressed", the length in four bytes, and the message.
func writeMessage(w io.Writer, message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	frame := make([]byte, 5, 5+len(body))
	binary.BigEndian.PutUint32(frame[1:], uint32(len(body)))
	_, err = w.Write(append(frame, body...))
	return err
}

func readMessage(r io.Reader, message any) error {
	var prefix [5]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(prefix[1:])
	if prefix[0] != 0 || size > maxMessage {
		return errors.New("a compressed message, or one that is too long")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return json.Unmarshal(body, message)
}
