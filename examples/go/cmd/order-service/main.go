// Command order-service knows a few orders, asks user-service who placed them, and inventory-service over gRPC whether
// there is another.
//
// It knows nothing of the mesh: it calls USER_SERVICE_URL as any program would, and HTTP_PROXY, which Go's net/http
// honours by itself, takes the call through the sidecar. INVENTORY_SERVICE_URL's name is that of a local port of the
// sidecar.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"

	"example.com/mesh/internal/grpc"
	"example.com/mesh/internal/service"
)

type order struct {
	ID   string `json:"id"`
	Item string `json:"item"`
	user string
}

type answer struct {
	service.Identity
	Order order `json:"order"`
	// User is user-service's whole answer, which says which version gave it.
	User json.RawMessage `json:"user"`
	// Stock is inventory-service's whole answer, or says why there is none; absent if there is nobody to ask.
	Stock any `json:"stock,omitempty"`
}

var orders = map[string]order{
	"1": {ID: "1", Item: "The C Programming Language", user: "1"},
	"2": {ID: "2", Item: "Structure and Interpretation of Computer Programs", user: "2"},
	"3": {ID: "3", Item: "Release It!", user: "3"},
}

// users calls user-service.
type users struct {
	client *http.Client
	url    string
}

// get returns user-service's answer about one user. incoming are the headers of the request that this call serves.
func (u users) get(ctx context.Context, id string, incoming http.Header) (json.RawMessage, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.url+"/users/"+id, nil)
	if err != nil {
		return nil, err
	}
	service.Propagate(incoming, request.Header)
	response, err := u.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("user-service answered %s", response.Status)
	}
	var body json.RawMessage
	err = json.NewDecoder(response.Body).Decode(&body)
	return body, err
}

// inventory calls inventory-service.
type inventory struct {
	client *http.Client
	url    string
}

// get returns inventory-service's answer about one item, or why it gave none: an order is worth telling without.
func (i inventory) get(ctx context.Context, item string, incoming http.Header) any {
	if i.url == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	metadata := http.Header{}
	service.Propagate(incoming, metadata)
	var stock json.RawMessage
	err := grpc.Call(ctx, i.client, i.url+"/mesh.Inventory/Stock", metadata, map[string]string{"item": item}, &stock)
	if err != nil {
		log.Print(err)
		return map[string]string{"error": err.Error()}
	}
	return stock
}

func routes(instance *service.Instance, users users, inventory inventory) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/orders/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			service.WriteError(w, http.StatusMethodNotAllowed, "only GET and HEAD")
			return
		}
		id := strings.TrimPrefix(r.URL.Path, "/orders/")
		order, known := orders[id]
		if !known {
			service.WriteError(w, http.StatusNotFound, "no order "+id)
			return
		}
		user, err := users.get(r.Context(), order.user, r.Header)
		if err != nil {
			log.Print(err)
			service.WriteError(w, http.StatusBadGateway, err.Error())
			return
		}
		stock := inventory.get(r.Context(), id, r.Header)
		service.WriteJSON(w, http.StatusOK, answer{Identity: instance.Identity(), Order: order, User: user, Stock: stock})
	})
	return mux
}

func main() {
	users := users{
		client: &http.Client{Timeout: 5 * time.Second},
		url:    service.Env("USER_SERVICE_URL", "http://user-service:9080"),
	}
	inventory := inventory{client: service.NewHTTP2Client(), url: service.Env("INVENTORY_SERVICE_URL", "")}
	service.Main("order-service", func(instance *service.Instance) http.Handler {
		return routes(instance, users, inventory)
	})
}
