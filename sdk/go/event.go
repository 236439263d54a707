package posthorn

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Event is what a webhook tells, read from any format.
type Event struct {
	// ID stays the same over retries and redeliveries: remember it to take each event once. With FormatGrantiva it is
	// the id of the delivery.
	ID   string
	Type string
	// OccurredAt is zero with FormatLexigram, which does not tell it.
	OccurredAt time.Time
	// Data is the payload as it was published.
	Data json.RawMessage
	// TenantID, Category and Group are there with FormatGravv only.
	TenantID string
	Category string
	Group    string
}

// ParseEvent reads the event in a request. Verify the request first: ParseEvent checks no signature. An error means
// that the body is not what the format writes.
func ParseEvent(payload []byte, header http.Header, name Format) (Event, error) {
	if name == "" {
		name = FormatStandard
	}
	f, ok := formats[name]
	if !ok {
		return Event{}, fmt.Errorf("posthorn: there is no format %q", name)
	}
	members := map[string]json.RawMessage{}
	event := Event{}
	if f.data == (place{}) {
		if !json.Valid(payload) {
			return Event{}, fmt.Errorf("posthorn: the body of the event is not JSON")
		}
		event.Data = json.RawMessage(payload)
	} else {
		if err := json.Unmarshal(payload, &members); err != nil {
			return Event{}, fmt.Errorf("posthorn: read the body of the event: %w", err)
		}
		event.Data = members[f.data.member]
	}
	text := func(at place) (string, error) {
		if at.header != "" {
			return header.Get(at.header), nil
		}
		raw, found := members[at.member]
		if !found {
			return "", nil
		}
		var value string
		if err := json.Unmarshal(raw, &value); err != nil {
			return "", fmt.Errorf("posthorn: read %q of the event: %w", at.member, err)
		}
		return value, nil
	}
	var occurredAt string
	for _, part := range []struct {
		at   place
		into *string
	}{
		{f.id, &event.ID},
		{f.eventType, &event.Type},
		{f.occurredAt, &occurredAt},
		{f.tenant, &event.TenantID},
		{f.category, &event.Category},
		{f.group, &event.Group},
	} {
		value, err := text(part.at)
		if err != nil {
			return Event{}, err
		}
		*part.into = value
	}
	if event.Type == "" || event.Data == nil {
		return Event{}, fmt.Errorf("posthorn: the body is not an event of the format %q", name)
	}
	if occurredAt != "" {
		at, err := time.Parse(time.RFC3339Nano, occurredAt)
		if err != nil {
			return Event{}, fmt.Errorf("posthorn: read the time of the event: %w", err)
		}
		event.OccurredAt = at
	}
	return event, nil
}
