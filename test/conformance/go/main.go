// Plays a customer and a service in Go: golang.org/x/oauth2 asks for tokens; Auth0's go-jwt-middleware and go-oidc
// verify them.
//
// It reads one JSON document from standard input (a command line would show secrets to everybody on the machine) and
// writes one to standard output: for each case its token or its error, and what each verifier says of each token.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/auth0/go-jwt-middleware/v2/jwks"
	"github.com/auth0/go-jwt-middleware/v2/validator"
	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

type document struct {
	TokenEndpoint string      `json:"token_endpoint"`
	CAFile        string      `json:"ca_file"`
	Cases         []askCase   `json:"cases"`
	Tokens        []tokenCase `json:"tokens"`
}

type askCase struct {
	Name         string `json:"name"`
	Method       string `json:"method"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	Audience     string `json:"audience"`
	Scope        string `json:"scope"`
}

type tokenCase struct {
	Name     string `json:"name"`
	Token    string `json:"token"`
	Issuer   string `json:"issuer"`
	Audience string `json:"audience"`
	Scope    string `json:"scope"`
}

type asked struct {
	Token       string  `json:"token,omitempty"`
	Scope       any     `json:"scope,omitempty"`
	ExpiresIn   float64 `json:"expires_in,omitempty"`
	Error       string  `json:"error,omitempty"`
	Code        string  `json:"code,omitempty"`
	Description string  `json:"description,omitempty"`
	Status      int     `json:"status,omitempty"`
}

type verdict struct {
	Claims any    `json:"claims,omitempty"`
	Error  string `json:"error,omitempty"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var input document
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		return err
	}
	client, err := trusting(input.CAFile)
	if err != nil {
		return err
	}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, client)
	answers := map[string]asked{}
	for _, one := range input.Cases {
		answers[one.Name] = ask(ctx, input.TokenEndpoint, one)
	}
	verdicts := map[string]map[string]verdict{}
	for _, one := range input.Tokens {
		verdicts[one.Name] = map[string]verdict{
			"go-oidc":           judged(byGoOIDC(ctx, one)),
			"go-jwt-middleware": judged(byGoJWTMiddleware(ctx, client, one)),
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"asked": answers, "verified": verdicts})
}

func trusting(caFile string) (*http.Client, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in the CA file")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, nil
}

var styles = map[string]oauth2.AuthStyle{
	"client_secret_basic": oauth2.AuthStyleInHeader,
	"client_secret_post":  oauth2.AuthStyleInParams,
	// What a user gets who sets nothing: it tries Basic, then post.
	"detected": oauth2.AuthStyleAutoDetect,
}

func ask(ctx context.Context, endpoint string, one askCase) asked {
	config := clientcredentials.Config{
		ClientID:       one.ClientID,
		ClientSecret:   one.ClientSecret,
		TokenURL:       endpoint,
		AuthStyle:      styles[one.Method],
		EndpointParams: url.Values{"audience": {one.Audience}},
	}
	if one.Scope != "" {
		config.Scopes = strings.Fields(one.Scope)
	}
	token, err := config.Token(ctx)
	if refused := new(oauth2.RetrieveError); errors.As(err, &refused) {
		return asked{Error: "RetrieveError", Code: refused.ErrorCode, Description: refused.ErrorDescription, Status: refused.Response.StatusCode}
	}
	if err != nil {
		return asked{Error: fmt.Sprintf("%T", err)}
	}
	return asked{Token: token.AccessToken, Scope: token.Extra("scope"), ExpiresIn: time.Until(token.Expiry).Seconds()}
}

func byGoOIDC(ctx context.Context, one tokenCase) (any, error) {
	provider, err := oidc.NewProvider(ctx, one.Issuer)
	if err != nil {
		return nil, err
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: one.Audience}).Verify(ctx, one.Token)
	if err != nil {
		return nil, err
	}
	claims := map[string]any{}
	return claims, token.Claims(&claims)
}

// custom are what Auth0's guide for Go services checks (scope), and whose token it is.
type custom struct {
	Scope string         `json:"scope"`
	OrgID string         `json:"org_id,omitempty"`
	Act   map[string]any `json:"act,omitempty"`
	Owner string         `json:"https://postern.dev/tenant_owner,omitempty"`
	Key   string         `json:"https://postern.dev/tenant_key,omitempty"`
}

func (s *custom) Validate(context.Context) error { return nil }

func byGoJWTMiddleware(ctx context.Context, client *http.Client, one tokenCase) (any, error) {
	issuer, err := url.Parse(one.Issuer)
	if err != nil {
		return nil, err
	}
	keys := jwks.NewCachingProvider(issuer, time.Minute, jwks.WithCustomClient(client))
	service, err := validator.New(keys.KeyFunc, validator.RS256, issuer.String(), []string{one.Audience},
		validator.WithCustomClaims(func() validator.CustomClaims { return &custom{} }))
	if err != nil {
		return nil, err
	}
	valid, err := service.ValidateToken(ctx, one.Token)
	if err != nil {
		return nil, err
	}
	claims := valid.(*validator.ValidatedClaims)
	return struct {
		Issuer   string   `json:"iss"`
		Subject  string   `json:"sub"`
		Audience []string `json:"aud"`
		*custom
	}{claims.RegisteredClaims.Issuer, claims.RegisteredClaims.Subject, claims.RegisteredClaims.Audience, claims.CustomClaims.(*custom)}, nil
}

func judged(claims any, err error) verdict {
	if err != nil {
		return verdict{Error: err.Error()}
	}
	return verdict{Claims: claims}
}
