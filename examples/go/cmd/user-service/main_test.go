package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"example.com/mesh/internal/service"
)

func serve(t *testing.T, request *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	t.Setenv("VERSION", "v2")
	recorder := httptest.NewRecorder()
	routes(service.NewInstance("user-service")).ServeHTTP(recorder, request)
	return recorder
}

func TestAnswerNamesTheUserAndWhoAnswered(t *testing.T) {
	request := httptest.NewRequest(http.MethodGet, "/users/2", nil)
	request.Header.Set("end-user", "jason")

	recorder := serve(t, request)

	var got answer
	if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if recorder.Code != http.StatusOK || recorder.Header().Get("Content-Type") != "application/json" {
		t.Errorf("got %d %v", recorder.Code, recorder.Header())
	}
	if got.User.Name != "Grace" || got.Version != "v2" || got.Count != 1 || got.Headers["end-user"] != "jason" {
		t.Errorf("got %+v", got)
	}
}

func TestUnknownUserIs404(t *testing.T) {
	if code := serve(t, httptest.NewRequest(http.MethodGet, "/users/99", nil)).Code; code != http.StatusNotFound {
		t.Errorf("got %d", code)
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	recorder := serve(t, httptest.NewRequest(http.MethodDelete, "/users/1", nil))
	if recorder.Code != http.StatusMethodNotAllowed || recorder.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("got %d %v", recorder.Code, recorder.Header())
	}
}
