package grpc

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
)

// Unary serves one method; its path is /package.Service/Method. An error that is no *Error is told as Unknown.
func Unary[Request, Reply any](answer func(*http.Request, Request) (Reply, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != contentType {
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return
		}
		w.Header().Set("Content-Type", contentType)
		var request Request
		if err := readMessage(r.Body, &request); err != nil {
			fail(w, &Error{InvalidArgument, err.Error()})
			return
		}
		reply, err := answer(r, request)
		if err != nil {
			fail(w, err)
			return
		}
		// The client may have left; there is nobody to tell.
		_ = writeMessage(w, reply)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})
}

// fail answers with no message: the status is then in the headers, where a sidecar sees it soon enough to try again.
func fail(w http.ResponseWriter, err error) {
	var status *Error
	if !errors.As(err, &status) {
		status = &Error{Unknown, err.Error()}
	}
	w.Header().Set("Grpc-Status", strconv.Itoa(int(status.Code)))
	w.Header().Set("Grpc-Message", url.PathEscape(status.Message))
	w.WriteHeader(http.StatusOK)
}
