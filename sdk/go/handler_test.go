package posthorn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const receiverSecret = "a secret"

func receiver(onError func(*http.Request, error)) ReceiverOptions {
	return ReceiverOptions{
		VerifyOptions: VerifyOptions{Format: FormatGrantiva, Secrets: []string{receiverSecret}},
		MaxBodyBytes:  1000,
		OnError:       onError,
	}
}

func post(t *testing.T, handler http.Handler, body string, signature string) (int, string) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	request, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Grantiva-Delivery", "019bc1f3-c887-78a8-9e5c-6c3690b28000")
	if signature != "" {
		request.Header.Set("X-Grantiva-Signature", signature)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func TestHandlerAnswersForWhatCameOfTheEvent(t *testing.T) {
	const body = `{"event":"a.b","timestamp":"2026-01-15T09:30:00.250Z","data":{"n":1}}`
	const strange = `{"something":"else"}`
	large := `{"event":"a.b","timestamp":"2026-01-15T09:30:00.250Z","data":"` + strings.Repeat("x", 1000) + `"}`
	fault := errors.New("the database is away")
	for title, test := range map[string]struct {
		body, secret string
		result       error
		status       int
		handled      int
		says         string
	}{
		"handled":        {body, receiverSecret, nil, http.StatusNoContent, 1, ""},
		"not handled":    {body, receiverSecret, fault, http.StatusInternalServerError, 1, "not_handled"},
		"not genuine":    {body, "other", nil, http.StatusUnauthorized, 0, "no_match"},
		"no signature":   {body, "", nil, http.StatusUnauthorized, 0, "X-Grantiva-Signature is missing"},
		"no event in it": {strange, receiverSecret, nil, http.StatusBadRequest, 0, "bad_event"},
		"too large":      {large, receiverSecret, nil, http.StatusRequestEntityTooLarge, 0, "body_too_large"},
	} {
		var events []Event
		var told []error
		handler := Handler(receiver(func(_ *http.Request, err error) { told = append(told, err) }),
			func(_ context.Context, event Event) error {
				events = append(events, event)
				return test.result
			})
		signature := ""
		if test.secret != "" {
			signature = "sha256=" + hexHMAC(test.secret, test.body)
		}
		status, answer := post(t, handler, test.body, signature)
		if status != test.status || len(events) != test.handled || !strings.Contains(answer, test.says) {
			t.Errorf("%s: status %d, %d events, %s", title, status, len(events), answer)
		}
		if wasFine := status == http.StatusNoContent; wasFine == (len(told) == 1) {
			t.Errorf("%s: OnError was told %v", title, told)
		}
		if strings.Contains(answer, fault.Error()) {
			t.Errorf("%s: the answer tells outsiders about the fault: %s", title, answer)
		}
		if test.handled == 1 && (events[0].Type != "a.b" || string(events[0].Data) != `{"n":1}` ||
			events[0].ID != "019bc1f3-c887-78a8-9e5c-6c3690b28000") {
			t.Errorf("%s: event %+v", title, events[0])
		}
	}
}

func TestHandlerBlamesItselfForASecretThatCannotWork(t *testing.T) {
	options := receiver(nil)
	options.Secrets = []string{""}
	handler := Handler(options, func(context.Context, Event) error { return nil })
	status, answer := post(t, handler, `{}`, "sha256=00")
	if status != http.StatusInternalServerError || !strings.Contains(answer, "misconfigured") ||
		strings.Contains(answer, "Secrets") {
		t.Errorf("status %d: %s", status, answer)
	}
}

func TestMiddlewarePassesOnTheRawBody(t *testing.T) {
	const body = "{ \"event\":\"a.b\",\n \"data\":1.0 }"
	var got []byte
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != int64(len(body)) {
			t.Errorf("content length %d", r.ContentLength)
		}
		got, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
	})
	handler := Middleware(receiver(nil))(next)
	status, _ := post(t, handler, body, "sha256="+hexHMAC(receiverSecret, body))
	if status != http.StatusAccepted || !bytes.Equal(got, []byte(body)) {
		t.Errorf("status %d, body %q", status, got)
	}
	got = nil
	status, _ = post(t, handler, body+" ", "sha256="+hexHMAC(receiverSecret, body))
	if status != http.StatusUnauthorized || got != nil {
		t.Errorf("status %d, body %q", status, got)
	}
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (brokenBody) Close() error             { return nil }

func TestABodyThatBreaksOffIsNotHandled(t *testing.T) {
	handler := Handler(receiver(nil), func(context.Context, Event) error {
		t.Error("handled")
		return nil
	})
	request := httptest.NewRequest(http.MethodPost, "/", nil)
	request.Body = brokenBody{}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusBadRequest || !json.Valid(recorder.Body.Bytes()) {
		t.Errorf("status %d: %s", recorder.Code, recorder.Body)
	}
}

func TestParseEventRefusesWhatIsNoEvent(t *testing.T) {
	for title, test := range map[string]struct {
		format Format
		body   string
		header http.Header
	}{
		"not JSON":           {FormatStandard, `x`, nil},
		"a list":             {FormatStandard, `[]`, nil},
		"no type":            {FormatStandard, `{"data":1}`, nil},
		"no data":            {FormatStandard, `{"type":"a.b"}`, nil},
		"type of a number":   {FormatStandard, `{"type":1,"data":1}`, nil},
		"a time that is not": {FormatStandard, `{"type":"a.b","timestamp":"noon","data":1}`, nil},
		"not JSON, bare":     {FormatLexigram, `x`, http.Header{"X-Webhook-Event-Type": {"a.b"}}},
		"no type, bare":      {FormatLexigram, `{}`, nil},
		"no such format":     {"other", `{}`, nil},
	} {
		if event, err := ParseEvent([]byte(test.body), test.header, test.format); err == nil {
			t.Errorf("%s: %+v", title, event)
		}
	}
}
