package posthorn_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	posthorn "github.com/posthorn/posthorn-go"
)

// The snippets of README.md are the bodies of these functions, which a test below holds to each other.

func ExampleHandler() {
	hook := posthorn.Handler(posthorn.ReceiverOptions{
		VerifyOptions: posthorn.VerifyOptions{Secrets: []string{os.Getenv("WEBHOOK_SECRET")}},
	}, func(ctx context.Context, event posthorn.Event) error {
		fmt.Println(event.ID, event.Type, string(event.Data))
		return nil // 204: delivered. An error is 500: Posthorn tries again.
	})
	http.Handle("POST /hook", hook)
	log.Fatal(http.ListenAndServe("127.0.0.1:9000", nil))
}

func ExampleMiddleware() {
	verified := posthorn.Middleware(posthorn.ReceiverOptions{
		VerifyOptions: posthorn.VerifyOptions{
			Format:  posthorn.FormatGrantex,
			Secrets: []string{os.Getenv("WEBHOOK_SECRET")},
		},
		OnError: func(r *http.Request, err error) { log.Print(err) },
	})
	http.Handle("POST /hook", verified(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body) // the raw body, verified
		if err != nil {
			http.Error(w, "try again", http.StatusInternalServerError)
			return
		}
		log.Printf("%s", body)
		w.WriteHeader(http.StatusNoContent)
	})))
}

func ExampleVerify() {
	var body []byte            // the raw body, before anything parsed it
	var r *http.Request        // with its headers
	var present, before string // both secrets, while they rotate

	err := posthorn.Verify(body, r.Header, posthorn.VerifyOptions{
		Format:    posthorn.FormatStandard,
		Secrets:   []string{present, before},
		Tolerance: 5 * time.Minute,
	})
	var refusal *posthorn.VerifyError
	if errors.As(err, &refusal) {
		log.Printf("%s: %s", refusal.Code, refusal.Message)
	}
}

func ExampleVerifySignature() {
	genuine := posthorn.VerifySignature(
		[]byte(`{"type":"grant.created"}`),
		"sha256=da060ef59b045cb20e978f5db1f96caa47ebdc76b01428b7edd5a4f07a62aaef",
		"a secret",
	)
	fmt.Println(genuine)
	// Output: true
}

func ExampleClient() {
	client, err := posthorn.NewClient(posthorn.ClientOptions{
		APIKey:  os.Getenv("POSTHORN_API_KEY"),
		BaseURL: os.Getenv("POSTHORN_URL"),
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	webhook, err := client.Webhooks.Create(ctx, posthorn.WebhookParams{
		URL:    "http://127.0.0.1:9000/hook",
		Events: []string{"order.*"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(webhook.ID, webhook.Secret) // the secret is shown this once

	event, err := client.Events.Send(ctx, posthorn.EventParams{
		Type:           "order.paid",
		Data:           map[string]any{"orderId": "o-1042", "total": 129.9},
		IdempotencyKey: "order-1042-paid",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(event.ID, event.Deliveries)
}

func ExampleHasCode() {
	var client *posthorn.Client
	var ctx context.Context

	err := client.Webhooks.Delete(ctx, "wh_01KF0Z7J3TE5XAY2V8N4R6M0QC")
	var apiError *posthorn.APIError
	switch {
	case posthorn.HasCode(err, posthorn.CodeNotFound):
		log.Print("it is gone already")
	case errors.As(err, &apiError):
		log.Printf("%s: %s, request %s", apiError.Code, apiError.Message, apiError.RequestID)
	case err != nil:
		log.Print("no answer: ", err)
	}
}

func ExampleWebhooks_List() {
	var client *posthorn.Client
	var ctx context.Context

	for page := (posthorn.PageParams{Limit: 100}); ; {
		list, err := client.Webhooks.List(ctx, page)
		if err != nil {
			log.Fatal(err)
		}
		for _, webhook := range list.Webhooks {
			fmt.Println(webhook.ID, webhook.URL)
		}
		if page.Cursor = list.NextCursor; page.Cursor == "" {
			break
		}
	}
}

func ExampleWebhooks_Update() {
	var client *posthorn.Client
	var ctx context.Context

	webhook, err := client.Webhooks.Update(ctx, "wh_01KF0Z7J3TE5XAY2V8N4R6M0QC", posthorn.WebhookUpdate{
		Events: []string{"order.*", "refund.*"},
		Clear:  []string{"timeout"}, // back to the instance's
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(webhook.Events)
}

func TestTheReadmeShowsTheExamples(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	// Examples stand one tab deeper than snippets, behind the declarations that a reader has.
	unindented := strings.ReplaceAll(string(source), "\n\t", "\n")
	blocks := strings.Split(string(readme), "```go\n")[1:]
	if len(blocks) < 6 {
		t.Fatalf("only %d snippets", len(blocks))
	}
	for _, block := range blocks {
		snippet, _, closed := strings.Cut(block, "```")
		if !closed || !strings.Contains(unindented, "\n"+snippet) {
			t.Errorf("no example has this snippet:\n%s", snippet)
		}
	}
}

func TestTheExampleOfTheReadmeRuns(t *testing.T) {
	var calls []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls = append(calls, r.Method+" "+r.URL.Path)
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"id": "x", "secret": "s", "deliveries": 1})
	}))
	defer server.Close()
	t.Setenv("POSTHORN_API_KEY", "key")
	t.Setenv("POSTHORN_URL", server.URL)
	ExampleClient()
	if got := strings.Join(calls, ", "); got != "POST /v1/webhooks, POST /v1/events" {
		t.Error(got)
	}
}
