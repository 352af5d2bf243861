// Command inventory-service answers one gRPC method: how many of an item are in stock. The messages are
//
//	message StockRequest { string item = 1; }
//	message StockReply { string service = 1; string version = 2; string host = 3; int64 count = 4; int32 in_stock = 5; }
//
// as JSON. UNAVAILABLE_EVERY=n makes each nth answer UNAVAILABLE, for retries to have something to do.
package main

import (
	"log"
	"net/http"
	"strconv"

	"example.com/mesh/internal/grpc"
	"example.com/mesh/internal/service"
)

type stockRequest struct {
	Item string `json:"item"`
}

type stockReply struct {
	service.Identity
	InStock int `json:"in_stock"`
}

var inStock = map[string]int{"1": 7, "2": 0, "3": 42}

// routes serves the method. Each answer whose count unavailableEvery divides is UNAVAILABLE; 0 means none.
func routes(instance *service.Instance, unavailableEvery int64) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/mesh.Inventory/Stock", grpc.Unary(func(_ *http.Request, request stockRequest) (stockReply, error) {
		identity := instance.Identity()
		if unavailableEvery > 0 && identity.Count%unavailableEvery == 0 {
			return stockReply{}, &grpc.Error{Code: grpc.Unavailable, Message: "counting the shelves"}
		}
		number, known := inStock[request.Item]
		if !known {
			return stockReply{}, &grpc.Error{Code: grpc.NotFound, Message: "no item " + request.Item}
		}
		return stockReply{Identity: identity, InStock: number}, nil
	}))
	return mux
}

func main() {
	every, err := strconv.ParseInt(service.Env("UNAVAILABLE_EVERY", "0"), 10, 64)
	if err != nil {
		log.Fatalf("UNAVAILABLE_EVERY: %v", err)
	}
	service.Main("inventory-service", func(instance *service.Instance) http.Handler { return routes(instance, every) })
}
