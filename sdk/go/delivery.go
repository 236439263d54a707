package posthorn

import "time"

// Delivery is one event for one webhook.
type Delivery struct {
	ID        string `json:"id"`
	WebhookID string `json:"webhookId"`
	EventID   string `json:"eventId"`
	EventType string `json:"eventType"`
	// Status is "pending", "delivered" or "failed" in the list of a webhook, and the exact status elsewhere.
	Status string `json:"status"`
	// State is the exact status ("pending", "sending", "held", "delivered", "dead_letter", "cancelled") in the list of a
	// webhook, and empty elsewhere.
	State string `json:"state"`
	// Reason says why it is held, cancelled or a dead letter.
	Reason *string `json:"reason"`
	// Attempts made so far.
	Attempts int `json:"attempts"`
	// MaxAttempts and URL are there in the list of a webhook.
	MaxAttempts    int        `json:"maxAttempts"`
	URL            string     `json:"url"`
	NextAttemptAt  *time.Time `json:"nextAttemptAt"`
	LastError      *string    `json:"lastError"`
	CreatedAt      time.Time  `json:"createdAt"`
	EndedAt        *time.Time `json:"endedAt"`
	DeliveredAt    *time.Time `json:"deliveredAt"`
	AcknowledgedAt *time.Time `json:"acknowledgedAt"`
	// LastAttempt is there in the list of a webhook, once one was made.
	LastAttempt *LastAttempt `json:"lastAttempt"`
}

// LastAttempt is the newest attempt of a delivery, as lists show it.
type LastAttempt struct {
	ID string `json:"id"`
	// Number counts from 1, over the delivery's whole life.
	Number     int       `json:"number"`
	StartedAt  time.Time `json:"startedAt"`
	DurationMs float64   `json:"durationMs"`
	// StatusCode is nil where no response arrived.
	StatusCode *int    `json:"statusCode"`
	Failure    *string `json:"failure"`
	// ResponseBody holds its first 200 characters.
	ResponseBody *string `json:"responseBody"`
}

// DeliveryPage is one page of the deliveries of a webhook, newest first.
type DeliveryPage struct {
	Deliveries []Delivery `json:"deliveries"`
	// Total counts all that match, up to 100,000.
	Total int `json:"total"`
	// NextCursor is empty at the end.
	NextCursor string `json:"nextCursor"`
}

// DeliveryListParams narrow a list. The zero value is the first page of all.
type DeliveryListParams struct {
	// Status is "pending" (not at an end), "delivered", "failed" (ended without being delivered), or an exact status.
	Status string
	PageParams
}
