package posthorn

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// Events sends events and looks at those that were sent. It belongs to a [Client].
type Events struct{ client *Client }

// EventParams are an event to send. Type and Data are needed.
type EventParams struct {
	// Type like "order.paid".
	Type string `json:"type"`
	// Data is the payload, written as JSON; a [json.RawMessage] goes as it is.
	Data any `json:"data"`
	// ID of your own, shown instead of "evt_…". An id is accepted once; a repeat gets the same answer.
	ID string `json:"id,omitempty"`
	// OccurredAt is when it happened; nil is now.
	OccurredAt *time.Time `json:"occurredAt,omitempty"`
	// Category is the first segment of the type unless given.
	Category string `json:"category,omitempty"`
	// Group ties related events together.
	Group  string `json:"group,omitempty"`
	Source string `json:"source,omitempty"`
	// IdempotencyKey makes a repeat of the call one event. Empty: the client makes one, which covers its own retries.
	// Give one that outlives the process, such as the id of the row that caused the event.
	IdempotencyKey string `json:"idempotencyKey,omitempty"`
}

// Published says that an event is durable.
type Published struct {
	ID string `json:"id"`
	// Deliveries is how many webhooks it goes to.
	Deliveries int `json:"deliveries"`
}

// Send sends an event. When it returns without an error, the event and its deliveries are on disk.
func (e *Events) Send(ctx context.Context, params EventParams) (*Published, error) {
	if params.IdempotencyKey == "" {
		var err error
		if params.IdempotencyKey, err = newIdempotencyKey(); err != nil {
			return nil, err
		}
	}
	idempotencyKey := params.IdempotencyKey
	params.IdempotencyKey = ""
	result, err := resultOf[Published](ctx, e.client, call{
		method: http.MethodPost, path: "/v1/events", body: params, idempotencyKey: idempotencyKey, repeatable: true,
	})
	if err == nil && result.ID == "" {
		return nil, errNotStored
	}
	return result, err
}

// errNotStored is for a success that some other server gives, which stores no events.
var errNotStored = errors.New("posthorn: the answer is not Posthorn's, so the event may not be stored; check BaseURL")

// SendBatch sends up to 1,000 events, all or none, and answers in their order. With an idempotencyKey a repeat of the
// same batch is one batch; empty has one made, which covers the client's own retries.
func (e *Events) SendBatch(ctx context.Context, events []EventParams, idempotencyKey string) ([]Published, error) {
	if idempotencyKey == "" {
		var err error
		if idempotencyKey, err = newIdempotencyKey(); err != nil {
			return nil, err
		}
	}
	type batch struct {
		Events []EventParams `json:"events"`
	}
	result, err := resultOf[struct {
		Events []Published `json:"events"`
	}](ctx, e.client, call{
		method: http.MethodPost, path: "/v1/events/batch", body: batch{events}, idempotencyKey: idempotencyKey,
		repeatable: true,
	})
	if err != nil {
		return nil, err
	}
	if len(result.Events) != len(events) {
		return nil, errNotStored
	}
	return result.Events, nil
}

// EventSummary is an event without its payload.
type EventSummary struct {
	ID         string    `json:"id"`
	Type       string    `json:"type"`
	OccurredAt time.Time `json:"occurredAt"`
	Category   *string   `json:"category"`
	Group      *string   `json:"group"`
	Source     *string   `json:"source"`
	CreatedAt  time.Time `json:"createdAt"`
}

// EventDetail is an event with its payload and its newest 1,000 deliveries.
type EventDetail struct {
	EventSummary
	// Data is the payload, byte for byte as it came.
	Data       json.RawMessage `json:"data"`
	Deliveries []Delivery      `json:"deliveries"`
}

// Get gets an event by its id.
func (e *Events) Get(ctx context.Context, id string) (*EventDetail, error) {
	segment, err := segmentOf("event", id)
	if err != nil {
		return nil, err
	}
	return resultOf[EventDetail](ctx, e.client, call{
		method: http.MethodGet, path: "/v1/events/" + segment, repeatable: true,
	})
}

// EventListParams narrow a list. The zero value is the first page of all.
type EventListParams struct {
	Type  string
	Group string
	// From and To bound when events were accepted; nil is no bound.
	From *time.Time
	To   *time.Time
	PageParams
}

// EventPage is one page of events, newest first.
type EventPage struct {
	Events []EventSummary `json:"events"`
	// NextCursor is empty at the end.
	NextCursor string `json:"nextCursor"`
}

// List gets a page of events, newest first.
func (e *Events) List(ctx context.Context, params EventListParams) (*EventPage, error) {
	query := params.PageParams.query()
	if params.Type != "" {
		query.Set("type", params.Type)
	}
	if params.Group != "" {
		query.Set("group", params.Group)
	}
	if params.From != nil {
		query.Set("from", params.From.UTC().Format(time.RFC3339Nano))
	}
	if params.To != nil {
		query.Set("to", params.To.UTC().Format(time.RFC3339Nano))
	}
	return resultOf[EventPage](ctx, e.client, call{
		method: http.MethodGet, path: "/v1/events", query: query, repeatable: true,
	})
}
