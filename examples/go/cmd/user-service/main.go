// Command user-service knows a few users by number. VERSION makes it v1 or v2; nothing else differs, and its answers
// say which one it is.
package main

import (
	"net/http"
	"strings"

	"example.com/mesh/internal/service"
)

type user struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type answer struct {
	service.Identity
	User user `json:"user"`
	// Headers are those of the request that a service must hand on, as they arrived here.
	Headers map[string]string `json:"headers"`
}

var names = map[string]string{"1": "Ada", "2": "Grace", "3": "Barbara"}

func routes(instance *service.Instance) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/users/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			service.WriteError(w, http.StatusMethodNotAllowed, "only GET and HEAD")
			return
		}
		id := strings.TrimPrefix(r.URL.Path, "/users/")
		name, known := names[id]
		if !known {
			service.WriteError(w, http.StatusNotFound, "no user "+id)
			return
		}
		service.WriteJSON(w, http.StatusOK, answer{
			Identity: instance.Identity(),
			User:     user{ID: id, Name: name},
			Headers:  service.Propagated(r.Header),
		})
	})
	return mux
}

func main() {
	service.Main("user-service", routes)
}
