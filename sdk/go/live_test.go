package posthorn

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// These run against a Posthorn that runs: POSTHORN_TEST_URL, and POSTHORN_TEST_KEY of an operator. Each test is a
// tenant of its own.

var tenants atomic.Int64

func live(t *testing.T) *Client {
	t.Helper()
	address, key := os.Getenv("POSTHORN_TEST_URL"), os.Getenv("POSTHORN_TEST_KEY")
	if address == "" || key == "" {
		t.Skip("POSTHORN_TEST_URL and POSTHORN_TEST_KEY are not set: no Posthorn to test against")
	}
	tenant := "go-" + time.Now().UTC().Format("20060102t150405") + "-" + string(rune('a'+tenants.Add(1)))
	client, err := NewClient(ClientOptions{APIKey: key, BaseURL: address, Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func background(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// hook is a receiver on 127.0.0.1. Its secrets are set before anything is sent to it.
type hook struct {
	url     string
	options ReceiverOptions
	events  chan Event
	errors  chan error
}

func newHook(t *testing.T, name Format) *hook {
	t.Helper()
	h := &hook{events: make(chan Event, 16), errors: make(chan error, 16)}
	h.options = ReceiverOptions{
		VerifyOptions: VerifyOptions{Format: name},
		OnError:       func(_ *http.Request, err error) { h.errors <- err },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Handler(h.options, func(_ context.Context, event Event) error {
			h.events <- event
			return nil
		}).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	h.url = server.URL + "/hook"
	return h
}

func (h *hook) next(t *testing.T) Event {
	t.Helper()
	select {
	case event := <-h.events:
		return event
	case err := <-h.errors:
		t.Fatalf("refused: %v", err)
	case <-time.After(15 * time.Second):
		t.Fatal("nothing arrived within 15 s")
	}
	return Event{}
}

func TestLiveDeliveriesOfEveryFormatVerify(t *testing.T) {
	client := live(t)
	ctx := background(t)
	for name := range formats {
		t.Run(string(name), func(t *testing.T) {
			receiver := newHook(t, name)
			eventType := "order." + string(name)
			webhook, err := client.Webhooks.Create(ctx, WebhookParams{
				URL: receiver.url, Events: []string{eventType}, WireFormat: Preset(name),
			})
			if err != nil {
				t.Fatal(err)
			}
			receiver.options.Secrets = []string{webhook.Secret}
			if name == FormatStandardEd25519 {
				if webhook.PublicKey == nil {
					t.Fatal("the webhook has no public key")
				}
				receiver.options.Secrets = []string{*webhook.PublicKey}
				keys, err := client.Webhooks.PublicKeys(ctx, webhook.ID)
				if err != nil || len(keys) != 1 || keys[0].Key != *webhook.PublicKey || keys[0].ExpiresAt != nil {
					t.Errorf("public keys %+v, %v", keys, err)
				}
			}
			sent, err := client.Events.Send(ctx, EventParams{
				Type: eventType, Data: map[string]any{"text": "Zoë <b> 🦊", "n": 1}, Group: "g-1",
			})
			if err != nil || sent.Deliveries != 1 {
				t.Fatalf("%+v, %v", sent, err)
			}
			event := receiver.next(t)
			if event.Type != eventType || !sameJSON(t, event.Data, []byte(`{"text":"Zoë <b> 🦊","n":1}`)) {
				t.Errorf("arrived: %+v", event)
			}
			if name != FormatGrantiva && name != FormatGravv && event.ID != sent.ID {
				t.Errorf("sent %s, got %s", sent.ID, event.ID)
			}
		})
	}
}

func TestLiveWebhooksFromBirthToDeath(t *testing.T) {
	client := live(t)
	ctx := background(t)
	receiver := newHook(t, FormatStandard)
	made, err := client.Webhooks.Create(ctx, WebhookParams{
		URL: receiver.url, Events: []string{"a.b", "a.*"}, Description: Ptr("first"),
		RetrySchedule: []string{"1s", "5m"}, Timeout: Ptr("5s"), Metadata: map[string]string{"team": "blue"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if made.Secret == "" || !made.IsActive || made.WireFormat.Preset != FormatStandard || *made.Timeout != "5s" ||
		!slices.Equal(made.RetrySchedule, []string{"1s", "5m"}) || made.Metadata["team"] != "blue" {
		t.Errorf("made %+v", made)
	}
	receiver.options.Secrets = []string{made.Secret}

	got, err := client.Webhooks.Get(ctx, made.ID)
	if err != nil || got.Secret != "" || got.URL != receiver.url || !got.CreatedAt.Equal(made.CreatedAt) {
		t.Errorf("got %+v, %v", got, err)
	}
	changed, err := client.Webhooks.Update(ctx, made.ID, WebhookUpdate{
		Events: []string{"a.*"}, Clear: []string{"description", "retrySchedule"},
	})
	if err != nil || changed.Description != nil || changed.RetrySchedule != nil || len(changed.Events) != 1 ||
		*changed.Timeout != "5s" {
		t.Errorf("changed %+v, %v", changed, err)
	}

	result, err := client.Webhooks.Test(ctx, made.ID, TestParams{Type: "a.test", Data: json.RawMessage(`{"n":1}`)})
	if err != nil || !result.Succeeded || result.StatusCode == nil || *result.StatusCode != http.StatusNoContent {
		t.Errorf("test %+v, %v", result, err)
	}
	if event := receiver.next(t); event.Type != "a.test" || string(event.Data) != `{"n":1}` {
		t.Errorf("test arrived as %+v", event)
	}

	// During rotation a receiver with either secret verifies.
	rotated, err := client.Webhooks.RotateSecret(ctx, made.ID, RotateParams{GracePeriod: "1h"})
	if err != nil || rotated.Secret == "" || rotated.Secret == made.Secret || rotated.PreviousSecretExpiresAt == nil {
		t.Fatalf("rotated %+v, %v", rotated, err)
	}
	for _, secret := range []string{made.Secret, rotated.Secret} {
		receiver.options.Secrets = []string{secret}
		if _, err := client.Events.Send(ctx, EventParams{Type: "a.b", Data: 1}); err != nil {
			t.Fatal(err)
		}
		receiver.next(t)
	}

	disabled, err := client.Webhooks.Disable(ctx, made.ID)
	if err != nil || disabled.IsActive || disabled.DisabledReason == nil {
		t.Errorf("disabled %+v, %v", disabled, err)
	}
	if _, err := client.Events.Send(ctx, EventParams{Type: "a.held", Data: 1}); err != nil {
		t.Fatal(err)
	}
	waiting, err := client.Webhooks.Deliveries(ctx, made.ID, DeliveryListParams{Status: "pending"})
	if err != nil || waiting.Total != 1 || waiting.Deliveries[0].EventType != "a.held" ||
		waiting.Deliveries[0].Status != "pending" || waiting.Deliveries[0].State != "held" {
		t.Errorf("waiting %+v, %v", waiting, err)
	}
	enabled, err := client.Webhooks.Enable(ctx, made.ID)
	if err != nil || !enabled.IsActive {
		t.Errorf("enabled %+v, %v", enabled, err)
	}
	if event := receiver.next(t); event.Type != "a.held" {
		t.Errorf("after enabling came %+v", event)
	}

	if err := client.Webhooks.Delete(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Webhooks.Get(ctx, made.ID); !HasCode(err, CodeNotFound) {
		t.Errorf("after deleting: %v", err)
	}
}

func TestLiveListsHavePages(t *testing.T) {
	client := live(t)
	ctx := background(t)
	var made []string
	for i := 0; i < 3; i++ {
		webhook, err := client.Webhooks.Create(ctx, WebhookParams{URL: "http://127.0.0.1:9/x", Events: []string{"none"}})
		if err != nil {
			t.Fatal(err)
		}
		made = append([]string{webhook.ID}, made...)
	}
	var listed []string
	params := PageParams{Limit: 2}
	for pages := 1; ; pages++ {
		page, err := client.Webhooks.List(ctx, params)
		if err != nil || pages > 2 {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, webhook := range page.Webhooks {
			listed = append(listed, webhook.ID)
		}
		if params.Cursor = page.NextCursor; params.Cursor == "" {
			break
		}
	}
	if !slices.Equal(listed, made) {
		t.Errorf("listed %v, made %v", listed, made)
	}
}

func TestLiveRepeatsOfACallAreOne(t *testing.T) {
	client := live(t)
	ctx := background(t)
	params := WebhookParams{URL: "http://127.0.0.1:9/x", Events: []string{"none"}, IdempotencyKey: "create-1"}
	first, err := client.Webhooks.Create(ctx, params)
	if err != nil {
		t.Fatal(err)
	}
	second, err := client.Webhooks.Create(ctx, params)
	if err != nil || second.ID != first.ID || second.Secret != first.Secret {
		t.Errorf("%+v, %v", second, err)
	}
	params.URL += "y"
	if _, err := client.Webhooks.Create(ctx, params); !HasCode(err, CodeIdempotencyConflict) {
		t.Errorf("another body: %v", err)
	}

	event := EventParams{Type: "a.b", Data: 1, IdempotencyKey: "event-1"}
	one, err := client.Events.Send(ctx, event)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := client.Events.Send(ctx, event); err != nil || two.ID != one.ID {
		t.Errorf("%+v, %v", two, err)
	}
	batch := []EventParams{{Type: "a.c", Data: 1}, {Type: "a.c", Data: 2, ID: "own-2"}}
	sent, err := client.Events.SendBatch(ctx, batch, "batch-1")
	if err != nil || len(sent) != 2 || sent[1].ID != "own-2" {
		t.Fatalf("%+v, %v", sent, err)
	}
	if again, err := client.Events.SendBatch(ctx, batch, "batch-1"); err != nil || !slices.Equal(again, sent) {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestLiveEventsCanBeLookedAt(t *testing.T) {
	client := live(t)
	ctx := background(t)
	receiver := newHook(t, FormatStandard)
	webhook, err := client.Webhooks.Create(ctx, WebhookParams{URL: receiver.url, Events: []string{"look.*"}})
	if err != nil {
		t.Fatal(err)
	}
	receiver.options.Secrets = []string{webhook.Secret}
	occurredAt := time.Date(2026, 1, 31, 12, 0, 0, 250_000_000, time.UTC)
	sent, err := client.Events.Send(ctx, EventParams{
		Type: "look.here", Data: json.RawMessage(`{"n":12345678901234567890,"x":1.0}`), OccurredAt: &occurredAt,
		Group: "g-1", Source: "tests",
	})
	if err != nil {
		t.Fatal(err)
	}
	receiver.next(t)
	got, err := client.Events.Get(ctx, sent.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Type != "look.here" || !got.OccurredAt.Equal(occurredAt) || *got.Group != "g-1" || *got.Source != "tests" ||
		string(got.Data) != `{"n":12345678901234567890,"x":1.0}` {
		t.Errorf("%+v, data %s", got.EventSummary, got.Data)
	}
	if len(got.Deliveries) != 1 || got.Deliveries[0].WebhookID != webhook.ID {
		t.Errorf("deliveries %+v", got.Deliveries)
	}
	from := time.Now().Add(-time.Hour)
	page, err := client.Events.List(ctx, EventListParams{Type: "look.here", Group: "g-1", From: &from})
	if err != nil || len(page.Events) != 1 || page.Events[0].ID != sent.ID {
		t.Errorf("%+v, %v", page, err)
	}
	if page, err = client.Events.List(ctx, EventListParams{To: &from}); err != nil || len(page.Events) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestLiveErrorsAreTyped(t *testing.T) {
	client := live(t)
	ctx := background(t)
	_, err := client.Webhooks.Create(ctx, WebhookParams{URL: "http://127.0.0.1:9/x", Events: []string{}})
	var apiError *APIError
	if !errors.As(err, &apiError) || apiError.Code != CodeBadRequest || apiError.RequestID == "" ||
		len(apiError.Fields) == 0 || apiError.Fields[0].Field != "events" {
		t.Errorf("%+v, %v", apiError, err)
	}
	if _, err := client.Events.Get(ctx, "evt_01KF0Z7J3TE5XAY2V8N4R6M0QC"); !HasCode(err, CodeNotFound) {
		t.Errorf("got %v", err)
	}
	client.authorize = func(header http.Header) { header.Set("Authorization", "Bearer wrong") }
	if _, err := client.Webhooks.List(ctx, PageParams{}); !HasCode(err, CodeUnauthorized) {
		t.Errorf("got %v", err)
	}
}
