package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/mesh/internal/service"
)

// ask sends one request to an order-service whose user-service is the handler.
func ask(t *testing.T, request *http.Request, userService http.HandlerFunc) *httptest.ResponseRecorder {
	t.Helper()
	server := httptest.NewServer(userService)
	t.Cleanup(server.Close)
	recorder := httptest.NewRecorder()
	users := users{client: server.Client(), url: server.URL}
	routes(service.NewInstance("order-service"), users, inventory{}).ServeHTTP(recorder, request)
	return recorder
}

func TestAnswerHoldsTheOrderAndUserServicesAnswer(t *testing.T) {
	recorder := ask(t, httptest.NewRequest(http.MethodGet, "/orders/3", nil), func(w http.ResponseWriter, r *http.Request) {
		service.WriteJSON(w, http.StatusOK, map[string]string{"version": "v2", "path": r.URL.Path})
	})

	var got struct {
		Service string
		Order   struct{ Item string }
		User    struct{ Version, Path string }
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Service != "order-service" || got.Order.Item != "Release It!" || got.User.Version != "v2" || got.User.Path != "/users/3" {
		t.Errorf("got %+v", got)
	}
}

func TestTheCallCarriesTheTraceOfTheRequestItServes(t *testing.T) {
	request := httptest.NewRequest(http.MethodGet, "/orders/1", nil)
	request.Header.Set("traceparent", "00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01")
	request.Header.Set("authorization", "secret")
	var seen http.Header

	ask(t, request, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		service.WriteJSON(w, http.StatusOK, nil)
	})

	if seen.Get("traceparent") != request.Header.Get("traceparent") || seen.Get("authorization") != "" {
		t.Errorf("user-service saw %v", seen)
	}
}

func TestAFailingUserServiceIsABadGateway(t *testing.T) {
	recorder := ask(t, httptest.NewRequest(http.MethodGet, "/orders/1", nil), func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})

	if recorder.Code != http.StatusBadGateway || !strings.Contains(recorder.Body.String(), "503") {
		t.Errorf("got %d %s", recorder.Code, recorder.Body)
	}
}

func TestAnAnswerThatIsNotJSONIsABadGateway(t *testing.T) {
	recorder := ask(t, httptest.NewRequest(http.MethodGet, "/orders/1", nil), func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<html>"))
	})
	if recorder.Code != http.StatusBadGateway {
		t.Errorf("got %d", recorder.Code)
	}
}

func TestUnknownOrderIs404AndAsksNobody(t *testing.T) {
	recorder := ask(t, httptest.NewRequest(http.MethodGet, "/orders/99", nil), func(http.ResponseWriter, *http.Request) {
		t.Error("user-service was asked")
	})
	if recorder.Code != http.StatusNotFound {
		t.Errorf("got %d", recorder.Code)
	}
}

func TestAnOrderIsToldWithoutTheStockWhenInventoryServiceIsNotThere(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		service.WriteJSON(w, http.StatusOK, nil)
	}))
	defer server.Close()
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	recorder := httptest.NewRecorder()
	routes(
		service.NewInstance("order-service"),
		users{client: server.Client(), url: server.URL},
		inventory{client: service.NewHTTP2Client(), url: nobody.URL},
	).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/orders/1", nil))

	var got struct{ Stock struct{ Error string } }
	if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if recorder.Code != http.StatusOK || got.Stock.Error == "" {
		t.Errorf("got %d %+v", recorder.Code, got)
	}
}
