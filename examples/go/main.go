// A background process in Go: golang.org/x/oauth2 gets the token, renews it before it ends, and sends it along.
//
//	POSTERN_ISSUER=https://tokens.example.com POSTERN_CLIENT_ID=... POSTERN_CLIENT_SECRET=... \
//	    POSTERN_AUDIENCE=https://orders.example.com go run . https://orders.example.com/orders
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: go run . URL")
	}
	config := clientcredentials.Config{
		ClientID:       os.Getenv("POSTERN_CLIENT_ID"),
		ClientSecret:   os.Getenv("POSTERN_CLIENT_SECRET"),
		TokenURL:       strings.TrimRight(os.Getenv("POSTERN_ISSUER"), "/") + "/oauth/token",
		EndpointParams: url.Values{"audience": {os.Getenv("POSTERN_AUDIENCE")}},
	}
	// Go waits for ever where nothing else is said: once for the token, once for the service.
	patient := &http.Client{Timeout: 10 * time.Second}
	client := config.Client(context.WithValue(context.Background(), oauth2.HTTPClient, patient))
	client.Timeout = 10 * time.Second

	answer, err := client.Get(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		log.Fatalf("%s: %s", answer.Status, body)
	}
	fmt.Printf("%s\n", body)
}
