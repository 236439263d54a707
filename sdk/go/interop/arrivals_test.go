// Package interop holds Posthorn to the code of others: their clients call it, their libraries verify what it sends.
package interop

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// server is the Posthorn to test against, and a key of an operator.
func server(t *testing.T) (address, key string) {
	t.Helper()
	address, key = os.Getenv("POSTHORN_TEST_URL"), os.Getenv("POSTHORN_TEST_KEY")
	if address == "" || key == "" {
		t.Skip("POSTHORN_TEST_URL and POSTHORN_TEST_KEY are not set: no Posthorn to test against")
	}
	return address, key
}

func tenantOf(name string) string {
	return "go-interop-" + name + time.Now().UTC().Format("-20060102t150405")
}

func background(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// arrival is a request as a receiver got it.
type arrival struct {
	header http.Header
	body   []byte
}

// receive starts a receiver on 127.0.0.1 that takes everything.
func receive(t *testing.T) (address string, next func() arrival) {
	t.Helper()
	arrivals := make(chan arrival, 16)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		arrivals <- arrival{r.Header, body}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(receiver.Close)
	return receiver.URL + "/hook", func() arrival {
		t.Helper()
		select {
		case got := <-arrivals:
			return got
		case <-time.After(15 * time.Second):
			t.Fatal("nothing arrived within 15 s")
			return arrival{}
		}
	}
}
