package posthorn

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	defaultTimeout    = 30 * time.Second
	defaultMaxRetries = 2
	firstBackoff      = 500 * time.Millisecond
	maxBackoff        = 8 * time.Second
	// maxRetryAfter is the longest wait that a call sits out; past it the caller gets the error and decides.
	maxRetryAfter    = 60 * time.Second
	maxResponseBytes = 64 << 20
)

// ClientOptions say which server a client talks to, and how.
type ClientOptions struct {
	// APIKey goes into the Authorization header. Required.
	APIKey string
	// BaseURL of the server, such as "https://posthorn.example.com". Required.
	BaseURL string
	// Tenant to act for. Only for an operator's key; any other acts for its own tenant.
	Tenant string
	// Timeout of one attempt, from connecting to the last byte. Zero: 30 s. The context of a call bounds all of them.
	Timeout time.Duration
	// MaxRetries after the first attempt. Zero: 2. Negative: none.
	MaxRetries int
	// HTTPClient makes the requests; a copy of it, which follows no redirects: no request and no key goes to where an
	// answer points. Nil: one of its own.
	HTTPClient *http.Client
}

// Client talks to the API of Posthorn. Make it with [NewClient].
//
// A call is tried again after 408, 429, 502, 503 and 504 and when there was no answer, waiting as long as Retry-After
// says, else half a second, one, two …, with jitter. What must not happen twice carries an idempotency key, which is
// the same at every attempt, or is tried again only where the server says that it did nothing (429 and 503).
type Client struct {
	Webhooks *Webhooks
	Events   *Events

	base       string
	tenant     string
	timeout    time.Duration
	maxRetries int
	http       *http.Client
	// authorize sets the header with the key: a function, so that no print of a Client shows the key.
	authorize func(http.Header)
	// hide takes the key out of a text.
	hide func(string) string
	// wait returns after a duration, or with an error once the context is over.
	wait func(context.Context, time.Duration) error
}

// NewClient checks the options and makes a client. It makes no request.
func NewClient(options ClientOptions) (*Client, error) {
	key := options.APIKey
	if strings.TrimSpace(key) == "" {
		return nil, errors.New("posthorn: APIKey is empty; is the variable set that it comes from?")
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("posthorn: APIKey has a space, a line break or another character that no key has")
	}
	base, err := url.Parse(options.BaseURL)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		// Without the address: one that cannot be read may hold a password.
		return nil, errors.New("posthorn: BaseURL is not an address like https://posthorn.example.com")
	}
	if base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" {
		return nil, errors.New("posthorn: BaseURL must not have a query, a fragment or a password")
	}
	client := &Client{
		base:       strings.TrimRight(base.String(), "/"),
		tenant:     options.Tenant,
		timeout:    options.Timeout,
		maxRetries: options.MaxRetries,
		http:       &http.Client{},
		authorize:  func(header http.Header) { header.Set("Authorization", "Bearer "+key) },
		hide:       func(text string) string { return strings.ReplaceAll(text, key, "[API key]") },
		wait:       wait,
	}
	if client.timeout <= 0 {
		client.timeout = defaultTimeout
	}
	if client.maxRetries == 0 {
		client.maxRetries = defaultMaxRetries
	}
	if options.HTTPClient != nil {
		*client.http = *options.HTTPClient
	}
	client.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Webhooks = &Webhooks{client}
	client.Events = &Events{client}
	return client, nil
}

type call struct {
	method string
	path   string
	query  url.Values
	// body is written as JSON; nil is none.
	body           any
	idempotencyKey string
	// repeatable: a second time does what the first did.
	repeatable bool
}

// do makes a call and decodes the answer into result, unless that is nil. It returns the headers of the answer.
func (c *Client) do(ctx context.Context, call call, result any) (http.Header, error) {
	var body []byte
	if call.body != nil {
		var err error
		if body, err = encode(call.body); err != nil {
			return nil, fmt.Errorf("posthorn: write the request: %w", err)
		}
	}
	mayBeDone := false
	for attempt := 0; ; attempt++ {
		header, answer, err := c.attempt(ctx, call, body)
		if err == nil {
			if result == nil {
				return header, nil
			}
			if !bytes.HasPrefix(bytes.TrimLeft(answer, " \t\r\n"), []byte("{")) {
				return nil, fmt.Errorf("posthorn: the answer to %s %s is not Posthorn's: it is no JSON object", call.method,
					call.path)
			}
			if err := json.Unmarshal(answer, result); err != nil {
				return nil, fmt.Errorf("posthorn: read the answer to %s %s: %w", call.method, call.path, err)
			}
			return header, nil
		}
		// An attempt before this one deleted it, and its answer was lost.
		if mayBeDone && call.method == http.MethodDelete && HasCode(err, CodeNotFound) {
			return nil, nil
		}
		if attempt >= c.maxRetries || ctx.Err() != nil || !call.mayRepeatAfter(err) {
			return nil, err
		}
		pause := backoff(attempt)
		var apiError *APIError
		isAnswer := errors.As(err, &apiError)
		if !isAnswer || !isRefusal(apiError.Status) {
			mayBeDone = true
		}
		if isAnswer && apiError.RetryAfter > 0 {
			if pause = apiError.RetryAfter; pause > maxRetryAfter {
				return nil, err
			}
		}
		if over := c.wait(ctx, pause); over != nil {
			return nil, fmt.Errorf("posthorn: gave up waiting to try again: %w", errors.Join(over, err))
		}
	}
}

func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// isRefusal tells whether the server says by a status that it did nothing.
func isRefusal(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

func (call *call) mayRepeatAfter(err error) bool {
	var apiError *APIError
	if !errors.As(err, &apiError) {
		return call.repeatable
	}
	if isRefusal(apiError.Status) {
		return true
	}
	switch apiError.Status {
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout:
		return call.repeatable
	}
	return false
}

func (c *Client) attempt(ctx context.Context, call call, body []byte) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	address := c.base + call.path
	if len(call.query) > 0 {
		address += "?" + call.query.Encode()
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, call.method, address, reader)
	if err != nil {
		return nil, nil, fmt.Errorf("posthorn: make the request: %w", err)
	}
	c.authorize(request.Header)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "posthorn-go/"+Version)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.tenant != "" {
		request.Header.Set("Posthorn-Tenant", c.tenant)
	}
	if call.idempotencyKey != "" {
		request.Header.Set("Idempotency-Key", call.idempotencyKey)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, nil, fmt.Errorf("posthorn: no answer: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusSwitchingProtocols {
		// What follows is no answer, and no deadline holds for it.
		return nil, nil, &APIError{Status: response.StatusCode, Message: "the answer is not Posthorn's: another protocol"}
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxResponseBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("posthorn: the answer to %s %s broke off: %w", call.method, call.path, err)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		apiError := readAPIError(response, answer, time.Now())
		// Some servers answer with the request that they got.
		apiError.Message = c.hide(apiError.Message)
		return nil, nil, apiError
	}
	if len(answer) > maxResponseBytes {
		return nil, nil, &APIError{
			Status: response.StatusCode, Message: fmt.Sprintf("the answer is longer than %d bytes", maxResponseBytes),
		}
	}
	return response.Header, answer, nil
}

// backoff is half to all of 0.5 s, 1 s, 2 s … up to 8 s.
func backoff(attempt int) time.Duration {
	full := min(firstBackoff<<min(attempt, 10), maxBackoff)
	return full/2 + mathrand.N(full/2)
}

// encode writes JSON without the escapes for HTML, so that payloads stay as they were given.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// newIdempotencyKey is 128 random bits.
func newIdempotencyKey() (string, error) {
	var bits [16]byte
	if _, err := rand.Read(bits[:]); err != nil {
		return "", fmt.Errorf("posthorn: make an idempotency key: %w", err)
	}
	return hex.EncodeToString(bits[:]), nil
}
