package posthorn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// script answers requests one after the other and remembers them.
type script struct {
	answers []func(w http.ResponseWriter)
	// mutex is for attempts that overlap, and for those that get no answer to wait for.
	mutex    sync.Mutex
	requests []*http.Request
	bodies   []string
	waits    []time.Duration
}

func (s *script) count() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.requests)
}

func answer(status int, body string, headers ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hangUp closes the connection without an answer.
func hangUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// play starts a server with these answers and a client that does not wait between attempts.
func play(t *testing.T, options ClientOptions, answers ...func(http.ResponseWriter)) (*Client, *script) {
	t.Helper()
	s := &script{answers: answers}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mutex.Lock()
		s.requests = append(s.requests, r)
		s.bodies = append(s.bodies, string(body))
		number := len(s.requests)
		s.mutex.Unlock()
		if number > len(s.answers) {
			t.Errorf("request %d was not expected: %s %s", number, r.Method, r.URL)
			return
		}
		s.answers[number-1](w)
	}))
	// On a connection used before, net/http itself would try again what has an idempotency key.
	server.Config.SetKeepAlivesEnabled(false)
	server.Start()
	t.Cleanup(server.Close)
	options.APIKey, options.BaseURL = "key", server.URL+"/"
	client, err := NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	client.wait = func(ctx context.Context, pause time.Duration) error {
		s.waits = append(s.waits, pause)
		return ctx.Err()
	}
	return client, s
}

const published = `{"id":"evt_1","deliveries":2}`

func TestACallIsTriedAgainWithTheSameKeyAndBody(t *testing.T) {
	client, s := play(t, ClientOptions{Tenant: "acme"},
		answer(503, `{"code":"OVERLOADED","message":"full"}`, "Retry-After", "7"),
		hangUp,
		answer(202, published))
	got, err := client.Events.Send(context.Background(), EventParams{Type: "order.paid", Data: map[string]string{"a": "<b>"}})
	if err != nil || got.ID != "evt_1" || got.Deliveries != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if len(s.waits) != 2 || s.waits[0] != 7*time.Second || s.waits[1] < 500*time.Millisecond || s.waits[1] > time.Second {
		t.Errorf("waited %v", s.waits)
	}
	for i, r := range s.requests {
		if key := r.Header.Get("Idempotency-Key"); len(key) != 32 || key != s.requests[0].Header.Get("Idempotency-Key") {
			t.Errorf("attempt %d: idempotency key %q", i, key)
		}
		if want := `{"type":"order.paid","data":{"a":"<b>"}}`; s.bodies[i] != want {
			t.Errorf("attempt %d: body %s", i, s.bodies[i])
		}
		if r.Header.Get("Authorization") != "Bearer key" || r.Header.Get("Posthorn-Tenant") != "acme" ||
			r.Header.Get("User-Agent") != "posthorn-go/"+Version || r.URL.Path != "/v1/events" {
			t.Errorf("attempt %d: %v", i, r.Header)
		}
	}
}

func TestACallIsTriedAgainOnlyWhereThatIsSafe(t *testing.T) {
	problem := func(status int) func(http.ResponseWriter) { return answer(status, `{"code":"X","message":"m"}`) }
	ok := answer(200, `{"succeeded":true}`)
	get := func(c *Client) error { _, err := c.Webhooks.Get(context.Background(), "wh_1"); return err }
	test := func(c *Client) error {
		_, err := c.Webhooks.Test(context.Background(), "wh_1", TestParams{})
		return err
	}
	rotate := func(c *Client) error {
		_, err := c.Webhooks.RotateSecret(context.Background(), "wh_1", RotateParams{})
		return err
	}
	for title, run := range map[string]struct {
		call    func(*Client) error
		first   func(http.ResponseWriter)
		repeats bool
	}{
		"get, 408":          {get, problem(408), true},
		"get, 429":          {get, problem(429), true},
		"get, 502":          {get, problem(502), true},
		"get, 503":          {get, problem(503), true},
		"get, 504":          {get, problem(504), true},
		"get, no answer":    {get, hangUp, true},
		"get, 404":          {get, problem(404), false},
		"get, 500":          {get, problem(500), false},
		"get, 507":          {get, problem(507), false},
		"test, 429":         {test, problem(429), true},
		"test, 503":         {test, problem(503), true},
		"test, 502":         {test, problem(502), false},
		"test, no answer":   {test, hangUp, false},
		"rotate, 503":       {rotate, problem(503), true},
		"rotate, 504":       {rotate, problem(504), false},
		"rotate, no answer": {rotate, hangUp, false},
	} {
		answers := []func(http.ResponseWriter){run.first}
		if run.repeats {
			answers = append(answers, ok)
		}
		client, s := play(t, ClientOptions{}, answers...)
		err := run.call(client)
		if (err == nil) != run.repeats || s.count() != len(answers) {
			t.Errorf("%s: %d requests, %v", title, s.count(), err)
		}
	}
}

func TestRetriesEnd(t *testing.T) {
	full := answer(503, `{"code":"OVERLOADED","message":"full","requestId":"req_1"}`)
	client, s := play(t, ClientOptions{}, full, full, full)
	_, err := client.Webhooks.Get(context.Background(), "wh_1")
	if !HasCode(err, CodeOverloaded) || s.count() != 3 {
		t.Errorf("%d requests, %v", s.count(), err)
	}
	client, s = play(t, ClientOptions{MaxRetries: -1}, full)
	if _, err = client.Webhooks.Get(context.Background(), "wh_1"); !HasCode(err, CodeOverloaded) || len(s.waits) != 0 {
		t.Errorf("waits %v, %v", s.waits, err)
	}
	client, s = play(t, ClientOptions{}, answer(429, `{"code":"TOO_MANY_REQUESTS","message":"m"}`, "Retry-After", "61"))
	_, err = client.Webhooks.Get(context.Background(), "wh_1")
	var apiError *APIError
	if !errors.As(err, &apiError) || apiError.RetryAfter != 61*time.Second || len(s.waits) != 0 {
		t.Errorf("waits %v, %v", s.waits, err)
	}
}

func TestADeleteWhoseAnswerWasLostIsDone(t *testing.T) {
	gone := answer(404, `{"code":"NOT_FOUND","message":"m"}`)
	client, _ := play(t, ClientOptions{}, hangUp, gone)
	if err := client.Webhooks.Delete(context.Background(), "wh_1"); err != nil {
		t.Error(err)
	}
	for _, refused := range []int{429, 503} {
		client, _ = play(t, ClientOptions{}, answer(refused, `{"code":"OVERLOADED","message":"m"}`), gone)
		if err := client.Webhooks.Delete(context.Background(), "wh_1"); !HasCode(err, CodeNotFound) {
			t.Errorf("behind a %d, which did nothing: got %v", refused, err)
		}
	}
	client, _ = play(t, ClientOptions{}, gone)
	if err := client.Webhooks.Delete(context.Background(), "wh_1"); !HasCode(err, CodeNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsHoldWhatTheServerSaid(t *testing.T) {
	const body = `{"status":400,"code":"BAD_REQUEST","message":"events: is missing","requestId":"req_1",
		"errors":[{"field":"events","message":"is missing"}],"more":1}`
	client, _ := play(t, ClientOptions{}, answer(400, body, "X-Request-Id", "req_0"))
	_, err := client.Webhooks.Create(context.Background(), WebhookParams{URL: "https://example.com"})
	var apiError *APIError
	if !errors.As(err, &apiError) {
		t.Fatal(err)
	}
	if apiError.Status != 400 || apiError.Code != CodeBadRequest || apiError.RequestID != "req_1" ||
		len(apiError.Fields) != 1 || apiError.Fields[0] != (FieldError{"events", "is missing"}) {
		t.Errorf("%+v", apiError)
	}
	if want := "posthorn: 400 BAD_REQUEST: events: is missing (req_1)"; err.Error() != want {
		t.Errorf("%q", err.Error())
	}

	client, _ = play(t, ClientOptions{}, answer(403, "<html>"+strings.Repeat("x", 1000)))
	_, err = client.Webhooks.Get(context.Background(), "wh_1")
	if !errors.As(err, &apiError) || apiError.Code != "" || len(apiError.Message) > 300 {
		t.Errorf("%+v", apiError)
	}
	client, _ = play(t, ClientOptions{}, answer(307, "", "Location", "https://elsewhere.example/"))
	if _, err = client.Webhooks.Get(context.Background(), "wh_1"); !errors.As(err, &apiError) || apiError.Status != 307 {
		t.Errorf("a redirect was followed: %v", err)
	}
	client, _ = play(t, ClientOptions{}, answer(200, `{"id":`))
	if _, err = client.Webhooks.Get(context.Background(), "wh_1"); err == nil {
		t.Error("half an answer was taken for a whole one")
	}
}

func TestAnAttemptEndsAtItsTimeoutAndACallAtItsContext(t *testing.T) {
	release := make(chan struct{})
	// Before the servers are closed, which waits for their answers.
	defer close(release)
	hang := func(http.ResponseWriter) { <-release }
	client, _ := play(t, ClientOptions{Timeout: 20 * time.Millisecond}, hang, answer(200, `{"id":"wh_1"}`))
	if webhook, err := client.Webhooks.Get(context.Background(), "wh_1"); err != nil || webhook.ID != "wh_1" {
		t.Errorf("%+v, %v", webhook, err)
	}

	client, s := play(t, ClientOptions{}, hang)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := client.Webhooks.Get(ctx, "wh_1")
	if !errors.Is(err, context.DeadlineExceeded) || len(s.waits) != 0 {
		t.Errorf("waits %v, %v", s.waits, err)
	}
}

func TestACallGivesUpWaitingWhenItsContextEnds(t *testing.T) {
	client, _ := play(t, ClientOptions{}, answer(503, `{"code":"OVERLOADED","message":"full"}`, "Retry-After", "30"))
	client.wait = wait
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := client.Webhooks.Get(ctx, "wh_1")
	if !errors.Is(err, context.DeadlineExceeded) || !HasCode(err, CodeOverloaded) {
		t.Errorf("got %v", err)
	}
}

func TestRequestsHoldOnlyWhatIsGiven(t *testing.T) {
	for want, params := range map[string]any{
		`{"events":["a"],"url":"https://a.example/?x=1&y"}`: WebhookParams{URL: "https://a.example/?x=1&y", Events: []string{"a"}},
		`{"description":"d","isActive":false,"retrySchedule":[],"secret":"s","url":"u","wireFormat":"grantex"}`: WebhookParams{
			URL: "u", Description: Ptr("d"), IsActive: Ptr(false), RetrySchedule: []string{}, Secret: "s",
			WireFormat: Preset(FormatGrantex), IdempotencyKey: "not in the body",
		},
		`{}`: WebhookUpdate{},
		`{"concurrency":3,"headers":{},"timeout":null,"wireFormat":{"body":"{event.data}"}}`: WebhookUpdate{
			Concurrency: Ptr(3), Headers: map[string]string{}, Clear: []string{"timeout"},
			WireFormat: &WireFormat{Custom: json.RawMessage(`{"body":"{event.data}"}`)},
		},
		`{"type":"a.b","data":null}`: EventParams{Type: "a.b"},
		`{"type":"a.b","data":1.0,"id":"o-1","occurredAt":"2026-01-31T12:00:00Z","group":"g"}`: EventParams{
			Type: "a.b", Data: json.RawMessage("1.0"), ID: "o-1", Group: "g",
			OccurredAt: Ptr(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)),
		},
	} {
		got, err := encode(params)
		if err != nil || string(got) != want {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	}
}

func TestAWireFormatIsANameOrADeclaration(t *testing.T) {
	var webhook Webhook
	for text, want := range map[string]WireFormat{
		`"grantex"`:      {Preset: FormatGrantex},
		`{"body":"{x}"}`: {Custom: json.RawMessage(`{"body":"{x}"}`)},
	} {
		if err := json.Unmarshal([]byte(`{"wireFormat":`+text+`}`), &webhook); err != nil {
			t.Fatal(err)
		}
		if webhook.WireFormat.Preset != want.Preset || !bytes.Equal(webhook.WireFormat.Custom, want.Custom) {
			t.Errorf("%s: %+v", text, webhook.WireFormat)
		}
	}
}

func TestNewClientRefusesWhatCannotWork(t *testing.T) {
	for _, options := range []ClientOptions{
		{BaseURL: "https://posthorn.example.com"},
		{APIKey: " ", BaseURL: "https://posthorn.example.com"},
		{APIKey: "key"},
		{APIKey: "key", BaseURL: "posthorn.example.com"},
		{APIKey: "key", BaseURL: "ftp://posthorn.example.com"},
		{APIKey: "key", BaseURL: "https://posthorn.example.com?a=1"},
		{APIKey: "key", BaseURL: "https://posthorn.example.com/#a"},
		{APIKey: "key", BaseURL: "https://user:secret-key@posthorn.example.com"},
		{APIKey: "key", BaseURL: "https://user:secret-key@posthorn example.com"},
		{APIKey: "secret-key\n", BaseURL: "https://posthorn.example.com"},
		{APIKey: "secret-key é", BaseURL: "https://posthorn.example.com"},
	} {
		if _, err := NewClient(options); err == nil || strings.Contains(err.Error(), "secret-key") {
			t.Errorf("%+v: %v", options, err)
		}
	}
	client, s := play(t, ClientOptions{})
	ctx := context.Background()
	for _, id := range []string{"", ".", ".."} {
		_, getting := client.Webhooks.Get(ctx, id)
		_, enabling := client.Webhooks.Enable(ctx, id)
		_, reading := client.Events.Get(ctx, id)
		deleting := client.Webhooks.Delete(ctx, id)
		if getting == nil || enabling == nil || reading == nil || deleting == nil || s.count() != 0 {
			t.Errorf("the id %q was asked for", id)
		}
	}
}

func TestNoPrintOfAClientAndNoErrorShowsTheKey(t *testing.T) {
	// As a server that answers with the request it got.
	client, _ := play(t, ClientOptions{}, answer(404, "GET /v1/webhooks\r\nAuthorization: Bearer very-secret\r\n"))
	client, err := NewClient(ClientOptions{APIKey: "very-secret", BaseURL: client.base})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Webhooks.List(context.Background(), PageParams{})
	inJSON, _ := json.Marshal(client)
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v", client, client, client), fmt.Sprintf("%v %+v %#v", *client, *client, *client),
		fmt.Sprintf("%v %+v %#v", client.Webhooks, *client.Webhooks, client.Events), err.Error(), string(inJSON),
	} {
		if strings.Contains(text, "very-secret") {
			t.Error(text)
		}
	}
}

func TestAClientOfOnesOwnFollowsNoRedirectsEither(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		mine := &http.Client{}
		// A second request would be unexpected.
		client, s := play(t, ClientOptions{HTTPClient: mine}, answer(status, "", "Location", "/elsewhere"))
		_, err := client.Events.Send(context.Background(), EventParams{Type: "a", Data: 1})
		var apiError *APIError
		if !errors.As(err, &apiError) || apiError.Status != status || !strings.Contains(apiError.Message, "/elsewhere") {
			t.Errorf("%d: %v", status, err)
		}
		if s.count() != 1 || mine.CheckRedirect != nil {
			t.Errorf("%d: %d requests, and the client given was changed: %v", status, s.count(), mine.CheckRedirect != nil)
		}
	}
}

func TestAnAnswerInAnotherProtocolIsNotWaitedFor(t *testing.T) {
	client, _ := play(t, ClientOptions{Timeout: 50 * time.Millisecond}, func(w http.ResponseWriter) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = connection.Close() })
		_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
	})
	done := make(chan error, 1)
	go func() {
		_, err := client.Webhooks.List(context.Background(), PageParams{})
		done <- err
	}()
	select {
	case err := <-done:
		var apiError *APIError
		if !errors.As(err, &apiError) || apiError.Status != http.StatusSwitchingProtocols {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the call does not end")
	}
}

func TestASuccessThatIsNotPosthornsIsAnError(t *testing.T) {
	for _, body := range []string{"", "null", "[]", `"text"`, "7", "<html>", `{"id":`, "{}", `{"ok":true}`} {
		client, _ := play(t, ClientOptions{}, answer(200, body), answer(200, body))
		if got, err := client.Events.Send(context.Background(), EventParams{Type: "a", Data: 1}); err == nil {
			t.Errorf("%q was taken for %+v", body, got)
		}
		if got, err := client.Events.SendBatch(context.Background(), []EventParams{{Type: "a"}}, ""); err == nil {
			t.Errorf("%q was taken for %+v", body, got)
		}
	}
}

func TestIDsAreEscapedInPaths(t *testing.T) {
	client, s := play(t, ClientOptions{}, answer(200, `{}`))
	if _, err := client.Webhooks.Get(context.Background(), "a/../b?c"); err != nil {
		t.Fatal(err)
	}
	if got := s.requests[0].RequestURI; got != "/v1/webhooks/a%2F..%2Fb%3Fc" {
		t.Error(got)
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "1.5": 0, "1e9": 0, "soon": 0,
		"9999999999999999999999": (1<<33 - 1) * time.Second, "Sat, 31 Jan 2026 12:00:05 GMT": 5 * time.Second,
		"Sat, 31 Jan 2026 11:00:00 GMT": 0,
	} {
		if got := readRetryAfter(text, now); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestCodesAndVersionAreThoseOfTheProduct(t *testing.T) {
	var table struct{ Errors []struct{ Code ErrorCode } }
	readJSON(t, "../../spec/errors.json", &table)
	source, err := os.ReadFile("api_error.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table.Errors {
		if !bytes.Contains(source, []byte(`= "`+string(row.Code)+`"`)) {
			t.Errorf("there is no constant for %s", row.Code)
		}
	}
	if constants := bytes.Count(source, []byte(`ErrorCode = "`)); constants != len(table.Errors) {
		t.Errorf("%d constants for %d codes", constants, len(table.Errors))
	}
	var product struct{ Version string }
	readJSON(t, "../../package.json", &product)
	if product.Version != Version {
		t.Errorf("this is %s, the product is %s", Version, product.Version)
	}
}

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}
