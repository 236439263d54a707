package posthorn

import (
	"encoding/json"
	"time"
)

// Webhook is an endpoint: where events are sent, which, and how.
type Webhook struct {
	ID          string   `json:"id"`
	URL         string   `json:"url"`
	Events      []string `json:"events"`
	Description *string  `json:"description"`
	IsActive    bool     `json:"isActive"`
	// DisabledReason is nil while it receives.
	DisabledReason *string           `json:"disabledReason"`
	WireFormat     WireFormat        `json:"wireFormat"`
	Headers        map[string]string `json:"headers"`
	// RetrySchedule has the waits between attempts, like "30s"; nil is the instance's, an empty one tries once.
	RetrySchedule []string `json:"retrySchedule"`
	// Timeout of one attempt, like "10s"; nil is the instance's.
	Timeout *string `json:"timeout"`
	// Concurrency is how many attempts may run at once; nil is the instance's.
	Concurrency *int              `json:"concurrency"`
	Metadata    map[string]string `json:"metadata"`
	// PublicKey is "whpk_…" where the format signs with ed25519, else nil.
	PublicKey *string `json:"publicKey"`
	// PreviousSecretExpiresAt is until when the secret before this one signs too.
	PreviousSecretExpiresAt *time.Time `json:"previousSecretExpiresAt"`
	CreatedAt               time.Time  `json:"createdAt"`
	UpdatedAt               time.Time  `json:"updatedAt"`
	// Secret is there only in the answers to Create and RotateSecret: it is shown once.
	Secret string `json:"secret"`
}

// WireFormat is the name of a preset, or a format of your own as Posthorn's documentation declares them.
type WireFormat struct {
	// Preset is empty where Custom is set.
	Preset Format
	Custom json.RawMessage
}

// Preset is the wire format of that name, for the fields of requests.
func Preset(name Format) *WireFormat { return &WireFormat{Preset: name} }

// MarshalJSON writes the name, or the declaration.
func (f WireFormat) MarshalJSON() ([]byte, error) {
	if f.Custom != nil {
		return f.Custom, nil
	}
	return json.Marshal(f.Preset)
}

// UnmarshalJSON reads the name, or keeps the declaration.
func (f *WireFormat) UnmarshalJSON(text []byte) error {
	*f = WireFormat{}
	if len(text) > 0 && text[0] == '{' {
		f.Custom = append(json.RawMessage(nil), text...)
		return nil
	}
	return json.Unmarshal(text, &f.Preset)
}

// WebhookParams are what a webhook is made with. Only URL and Events are needed; nil leaves a field to the server.
type WebhookParams struct {
	URL         string
	Events      []string
	Description *string
	IsActive    *bool
	WireFormat  *WireFormat
	// Secret of your own, as the format wants it; empty has one made.
	Secret  string
	Headers map[string]string
	// RetrySchedule has waits like "30s", "5m", "2h"; an empty slice that is not nil tries once.
	RetrySchedule []string
	Timeout       *string
	Concurrency   *int
	Metadata      map[string]string
	// IdempotencyKey makes a repeat of the call answer with the same webhook and secret for 24 hours. Empty: the client
	// makes one, which covers its own retries.
	IdempotencyKey string
}

// MarshalJSON leaves out what is not given.
func (p WebhookParams) MarshalJSON() ([]byte, error) {
	update := WebhookUpdate{
		URL: &p.URL, Events: p.Events, Description: p.Description, IsActive: p.IsActive, WireFormat: p.WireFormat,
		Headers: p.Headers, RetrySchedule: p.RetrySchedule, Timeout: p.Timeout, Concurrency: p.Concurrency,
		Metadata: p.Metadata,
	}
	if p.Secret != "" {
		update.Secret = &p.Secret
	}
	return encode(update)
}

// WebhookUpdate says what to change: nil leaves a field as it is.
type WebhookUpdate struct {
	URL         *string
	Events      []string
	Description *string
	IsActive    *bool
	WireFormat  *WireFormat
	// Secret takes the place of all before it, at once. To let both sign for a while, call RotateSecret.
	Secret        *string
	Headers       map[string]string
	RetrySchedule []string
	Timeout       *string
	Concurrency   *int
	Metadata      map[string]string
	// Clear names the fields to set back to nothing, or to what the instance has, as the API spells them: "headers",
	// "retrySchedule", "timeout".
	Clear []string
}

// MarshalJSON leaves out what is not given, and writes null for what is cleared.
func (u WebhookUpdate) MarshalJSON() ([]byte, error) {
	fields := map[string]any{}
	for _, name := range u.Clear {
		fields[name] = nil
	}
	put(fields, "url", u.URL)
	put(fields, "description", u.Description)
	put(fields, "isActive", u.IsActive)
	put(fields, "wireFormat", u.WireFormat)
	put(fields, "secret", u.Secret)
	put(fields, "timeout", u.Timeout)
	put(fields, "concurrency", u.Concurrency)
	// An empty list or map is a value of its own, nil is none.
	if u.Events != nil {
		fields["events"] = u.Events
	}
	if u.Headers != nil {
		fields["headers"] = u.Headers
	}
	if u.RetrySchedule != nil {
		fields["retrySchedule"] = u.RetrySchedule
	}
	if u.Metadata != nil {
		fields["metadata"] = u.Metadata
	}
	return encode(fields)
}

func put[T any](fields map[string]any, name string, value *T) {
	if value != nil {
		fields[name] = *value
	}
}

// Ptr is a pointer to a value, for fields that may be nil.
func Ptr[T any](value T) *T { return &value }
