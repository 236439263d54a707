package posthorn

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Webhooks makes, changes and looks at webhooks. It belongs to a [Client].
type Webhooks struct{ client *Client }

// WebhookPage is one page of webhooks, newest first.
type WebhookPage struct {
	Webhooks []Webhook `json:"webhooks"`
	// NextCursor is empty at the end.
	NextCursor string `json:"nextCursor"`
}

// Create makes a webhook. The answer holds its Secret, this once.
func (w *Webhooks) Create(ctx context.Context, params WebhookParams) (*Webhook, error) {
	idempotencyKey := params.IdempotencyKey
	if idempotencyKey == "" {
		var err error
		if idempotencyKey, err = newIdempotencyKey(); err != nil {
			return nil, err
		}
	}
	return resultOf[Webhook](ctx, w.client, call{
		method: http.MethodPost, path: "/v1/webhooks", body: params, idempotencyKey: idempotencyKey, repeatable: true,
	})
}

// List gets a page of webhooks; without a limit up to 1,000.
func (w *Webhooks) List(ctx context.Context, params PageParams) (*WebhookPage, error) {
	return resultOf[WebhookPage](ctx, w.client, call{
		method: http.MethodGet, path: "/v1/webhooks", query: params.query(), repeatable: true,
	})
}

// Get gets a webhook, without its secret.
func (w *Webhooks) Get(ctx context.Context, id string) (*Webhook, error) {
	return webhookCall[Webhook](ctx, w, id, "", call{method: http.MethodGet, repeatable: true})
}

// Update changes what is given and leaves the rest.
func (w *Webhooks) Update(ctx context.Context, id string, update WebhookUpdate) (*Webhook, error) {
	return webhookCall[Webhook](ctx, w, id, "", call{method: http.MethodPatch, body: update, repeatable: true})
}

// Delete deletes a webhook. What waits for it is cancelled; its history stays.
func (w *Webhooks) Delete(ctx context.Context, id string) error {
	path, err := webhookPath(id, "")
	if err != nil {
		return err
	}
	_, err = w.client.do(ctx, call{method: http.MethodDelete, path: path, repeatable: true}, nil)
	return err
}

// Enable lets a webhook receive; what was held goes on its way.
func (w *Webhooks) Enable(ctx context.Context, id string) (*Webhook, error) {
	return webhookCall[Webhook](ctx, w, id, "/enable", call{method: http.MethodPost, repeatable: true})
}

// Disable holds the deliveries of a webhook; none is dropped.
func (w *Webhooks) Disable(ctx context.Context, id string) (*Webhook, error) {
	return webhookCall[Webhook](ctx, w, id, "/disable", call{method: http.MethodPost, repeatable: true})
}

// TestParams say what a test delivery holds. The zero value leaves it to the server.
type TestParams struct {
	// Type of the event; empty is the first of the webhook.
	Type string `json:"type,omitempty"`
	// Data is written as JSON; nil is a payload that says it is a test.
	Data any `json:"data,omitempty"`
}

// TestResult says what came of a test delivery.
type TestResult struct {
	Succeeded bool `json:"succeeded"`
	// StatusCode is nil where no response arrived; Failure says why.
	StatusCode   *int    `json:"statusCode"`
	Failure      *string `json:"failure"`
	ResponseBody *string `json:"responseBody"`
	DurationMs   float64 `json:"durationMs"`
}

// Test sends one signed delivery now and waits for what the receiver says. It is not tried again and not kept. That
// the receiver refused is a result, not an error.
func (w *Webhooks) Test(ctx context.Context, id string, params TestParams) (*TestResult, error) {
	return webhookCall[TestResult](ctx, w, id, "/test", call{method: http.MethodPost, body: params})
}

// RotateParams say how a secret is rotated. The zero value has one made and lets the old one sign for 24 hours more.
type RotateParams struct {
	// GracePeriod is how long the old secret signs too, like "48h", from "0s" to "7d".
	GracePeriod string `json:"gracePeriod,omitempty"`
	// Secret of your own; empty has one made.
	Secret string `json:"secret,omitempty"`
}

// RotateSecret gives a webhook a new secret. The answer holds it, this once. It is not tried again where the answer was
// lost, for that would rotate twice: then the error tells so, and RotateSecret can be called again.
func (w *Webhooks) RotateSecret(ctx context.Context, id string, params RotateParams) (*Webhook, error) {
	return webhookCall[Webhook](ctx, w, id, "/rotate-secret", call{method: http.MethodPost, body: params})
}

// Deliveries gets a page of the deliveries of a webhook, newest first.
func (w *Webhooks) Deliveries(ctx context.Context, id string, params DeliveryListParams) (*DeliveryPage, error) {
	query := params.PageParams.query()
	if params.Status != "" {
		query.Set("status", params.Status)
	}
	return webhookCall[DeliveryPage](ctx, w, id, "/deliveries", call{
		method: http.MethodGet, query: query, repeatable: true,
	})
}

// PublicKey is a key that verifies signatures of a webhook.
type PublicKey struct {
	// Key is "whpk_…", as [VerifyOptions].Secrets takes it.
	Key       string    `json:"key"`
	CreatedAt time.Time `json:"createdAt"`
	// ExpiresAt is nil for the present key.
	ExpiresAt *time.Time `json:"expiresAt"`
}

// PublicKeys gets the keys that verify the signatures of a webhook; none where its format signs with a secret.
func (w *Webhooks) PublicKeys(ctx context.Context, id string) ([]PublicKey, error) {
	result, err := webhookCall[struct {
		PublicKeys []PublicKey `json:"publicKeys"`
	}](ctx, w, id, "/public-keys", call{method: http.MethodGet, repeatable: true})
	if err != nil {
		return nil, err
	}
	return result.PublicKeys, nil
}

func webhookPath(id, below string) (string, error) {
	segment, err := segmentOf("webhook", id)
	return "/v1/webhooks/" + segment + below, err
}

// segmentOf is an id as a part of a path. One that is empty or dots would name something else, all webhooks for one.
func segmentOf(noun, id string) (string, error) {
	switch id {
	case "":
		return "", fmt.Errorf("posthorn: the id of the %s is empty", noun)
	case ".", "..":
		return "", fmt.Errorf("posthorn: %q is not the id of any %s", id, noun)
	}
	return url.PathEscape(id), nil
}

func webhookCall[Result any](ctx context.Context, w *Webhooks, id, below string, c call) (*Result, error) {
	path, err := webhookPath(id, below)
	if err != nil {
		return nil, err
	}
	c.path = path
	return resultOf[Result](ctx, w.client, c)
}

func resultOf[Result any](ctx context.Context, client *Client, c call) (*Result, error) {
	var result Result
	if _, err := client.do(ctx, c, &result); err != nil {
		return nil, err
	}
	return &result, nil
}
