package interop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	posthorn "github.com/posthorn/posthorn-go"
)

// The Go client of Grantex (github.com/mishrasanjeev/grantex-go) cannot be had as a Go module now. So this makes the
// requests that its webhook calls make, with the same headers, and reads answers as strictly as it does. It stands in
// for the client; it is not the client.
type grantexCalls struct {
	t       *testing.T
	address string
	key     string
}

type grantexWebhook struct {
	ID        string   `json:"id"`
	URL       string   `json:"url"`
	Events    []string `json:"events"`
	CreatedAt string   `json:"createdAt"`
	Secret    string   `json:"secret"`
}

func (g grantexCalls) call(method, path, body string) (int, http.Header, []byte) {
	g.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequest(method, g.address+path, reader)
	if err != nil {
		g.t.Fatal(err)
	}
	if g.key != "" {
		request.Header.Set("Authorization", "Bearer "+g.key)
	}
	request.Header.Set("User-Agent", "grantex-go/0.1.10")
	request.Header.Set("Accept", "application/json")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return response.StatusCode, response.Header, answer
}

func TestTheWebhookCallsOfTheGrantexClientWork(t *testing.T) {
	address, _ := server(t)
	grantex := grantexCalls{t: t, address: address}
	hook, next := receive(t)

	// As a developer of theirs begins: an account of its own, with a key that begins with gx_live_.
	status, _, body := grantex.call(http.MethodPost, "/v1/signup", `{"name":"Go interop"}`)
	var account struct{ APIKey string }
	if err := json.Unmarshal(body, &account); err != nil || status != http.StatusCreated ||
		!strings.HasPrefix(account.APIKey, "gx_live_") {
		t.Fatalf("sign-up: %d %s", status, body)
	}
	grantex.key = account.APIKey

	status, header, body := grantex.call(http.MethodPost, "/v1/webhooks",
		`{"url":"`+hook+`","events":["grant.revoked","grant.created"]}`)
	var made grantexWebhook
	if err := json.Unmarshal(body, &made); err != nil || status != http.StatusCreated {
		t.Fatalf("create: %d %s", status, body)
	}
	if !strings.HasPrefix(made.ID, "wh_") || made.Secret == "" || made.URL != hook || made.CreatedAt == "" ||
		strings.Join(made.Events, " ") != "grant.revoked grant.created" {
		t.Errorf("create: %s", body)
	}
	for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
		if _, err := strconv.ParseInt(header.Get(name), 10, 64); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	status, _, body = grantex.call(http.MethodGet, "/v1/webhooks", "")
	var list struct{ Webhooks []grantexWebhook }
	if err := json.Unmarshal(body, &list); err != nil || status != http.StatusOK || len(list.Webhooks) != 1 ||
		list.Webhooks[0].ID != made.ID || list.Webhooks[0].Secret != "" {
		t.Errorf("list: %d %s", status, body)
	}

	client, err := posthorn.NewClient(posthorn.ClientOptions{APIKey: grantex.key, BaseURL: address})
	if err != nil {
		t.Fatal(err)
	}
	event := posthorn.EventParams{Type: "grant.created", Data: map[string]string{"grantId": "g"}}
	sent, err := client.Events.Send(background(t), event)
	if err != nil || sent.Deliveries != 1 {
		t.Fatalf("%+v, %v", sent, err)
	}
	checkAsGrantexDoes(t, next(), made.Secret)

	status, _, body = grantex.call(http.MethodDelete, "/v1/webhooks/"+made.ID, "")
	if status != http.StatusNoContent || len(body) != 0 {
		t.Errorf("delete: %d %q", status, body)
	}
	status, _, body = grantex.call(http.MethodDelete, "/v1/webhooks/"+made.ID, "")
	var problem struct{ Message, Code, RequestID string }
	if err := json.Unmarshal(body, &problem); err != nil || status != http.StatusNotFound ||
		problem.Code != "NOT_FOUND" || problem.Message == "" || problem.RequestID == "" {
		t.Errorf("delete again: %d %s", status, body)
	}
	grantex.key = "gx_live_unknown0000000000"
	if status, _, body = grantex.call(http.MethodGet, "/v1/webhooks", ""); status != http.StatusUnauthorized {
		t.Errorf("a wrong key: %d %s", status, body)
	}
}

// checkAsGrantexDoes verifies both signatures with nothing of ours.
func checkAsGrantexDoes(t *testing.T, got arrival, secret string) {
	t.Helper()
	stamp := got.header.Get("X-Grantex-Timestamp")
	sentAt, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || time.Since(time.Unix(sentAt, 0)).Abs() > 5*time.Minute {
		t.Errorf("timestamp %q: %v", stamp, err)
	}
	for name, signed := range map[string]string{
		"X-Grantex-Signature":    string(got.body),
		"X-Grantex-Signature-V2": stamp + "." + string(got.body),
	} {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(signed))
		if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); got.header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
	}
}
