package interop

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	posthorn "github.com/posthorn/posthorn-go"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func TestTheStandardWebhooksLibraryVerifiesDeliveries(t *testing.T) {
	address, key := server(t)
	ctx := background(t)
	client, err := posthorn.NewClient(posthorn.ClientOptions{APIKey: key, BaseURL: address, Tenant: tenantOf("standard")})
	if err != nil {
		t.Fatal(err)
	}
	hook, next := receive(t)
	webhook, err := client.Webhooks.Create(ctx, posthorn.WebhookParams{URL: hook, Events: []string{"a.b"}})
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := client.Webhooks.RotateSecret(ctx, webhook.ID, posthorn.RotateParams{GracePeriod: "1h"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = client.Events.Send(ctx, posthorn.EventParams{Type: "a.b", Data: "Zoë 🦊 <b>"}); err != nil {
		t.Fatal(err)
	}
	got := next()
	for title, secret := range map[string]string{"the previous": webhook.Secret, "the present": rotated.Secret} {
		library, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := library.Verify(got.body, got.header); err != nil {
			t.Errorf("with %s secret: %v", title, err)
		}
		if err := library.Verify(append(got.body, ' '), got.header); err == nil {
			t.Errorf("with %s secret it verifies a body that was not sent", title)
		}
		options := posthorn.VerifyOptions{Secrets: []string{secret}}
		if err := posthorn.Verify(got.body, got.header, options); err != nil {
			t.Errorf("our own verification with %s secret: %v", title, err)
		}
	}
}

func TestWeVerifyWhatTheStandardWebhooksLibrarySigns(t *testing.T) {
	const secret, id, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", `{"test": 2432232314}`
	library, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1614265330, 0)
	signature, err := library.Sign(id, at, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	header.Set("webhook-id", id)
	header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	header.Set("webhook-signature", signature)
	options := posthorn.VerifyOptions{Secrets: []string{secret}, Now: func() time.Time { return at }}
	if err := posthorn.Verify([]byte(body), header, options); err != nil {
		t.Error(err)
	}
	err = posthorn.Verify([]byte(`{"test":2432232314}`), header, options)
	var refusal *posthorn.VerifyError
	if !errors.As(err, &refusal) || refusal.Code != posthorn.VerifyNoMatch {
		t.Errorf("another body: %v", err)
	}
}
