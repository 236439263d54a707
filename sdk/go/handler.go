package posthorn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// DefaultMaxBodyBytes is the largest body that a receiver reads: four times what Posthorn sends unless told otherwise.
const DefaultMaxBodyBytes = 1 << 20

// ReceiverOptions say how to receive.
type ReceiverOptions struct {
	VerifyOptions
	// MaxBodyBytes is the largest body to read. Zero: DefaultMaxBodyBytes.
	MaxBodyBytes int64
	// OnError is told about each request that was refused or could not be handled: a [*VerifyError], a fault while
	// reading, or what the handler returned. Nil: nobody is.
	OnError func(request *http.Request, err error)
}

// Middleware passes on only requests that verify, with the raw body to be read once more. Others are answered: 401
// where [Verify] refused, 413 where the body is too large, 400 where it did not arrive, 500 where the options are
// wrong, so that Posthorn tries again once they are right.
func Middleware(options ReceiverOptions) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if payload, ok := receive(options, w, r); ok {
				r.Body = io.NopCloser(bytes.NewReader(payload))
				r.ContentLength = int64(len(payload))
				next.ServeHTTP(w, r)
			}
		})
	}
}

// Handler receives events: it reads the raw body, verifies it, and calls handle with what was in it. When handle
// returns nil the answer is 204, and the event is delivered; with an error it is 500, and Posthorn tries again. The
// text of the error is not sent. Requests that do not verify are answered as by [Middleware].
//
// Return within the timeout of the webhook (10 s unless set): put longer work into a queue of your own.
func Handler(options ReceiverOptions, handle func(ctx context.Context, event Event) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload, ok := receive(options, w, r)
		if !ok {
			return
		}
		event, err := ParseEvent(payload, r.Header, options.Format)
		if err != nil {
			options.fail(w, r, http.StatusBadRequest, "bad_event", "The body is not an event of this format.", err)
			return
		}
		if err := handle(r.Context(), event); err != nil {
			options.fail(w, r, http.StatusInternalServerError, "not_handled", "The event could not be handled now.", err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// receive returns a verified body, or answers the request.
func receive(options ReceiverOptions, w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	limit := options.MaxBodyBytes
	if limit <= 0 {
		limit = DefaultMaxBodyBytes
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			options.fail(w, r, http.StatusRequestEntityTooLarge, "body_too_large", "The body is too large.", err)
		} else {
			options.fail(w, r, http.StatusBadRequest, "body_incomplete", "The body did not arrive.", err)
		}
		return nil, false
	}
	err = Verify(payload, r.Header, options.VerifyOptions)
	if err == nil {
		return payload, true
	}
	var refusal *VerifyError
	if !errors.As(err, &refusal) || refusal.Code == VerifyBadSecret || refusal.Code == VerifyUnknownFormat {
		options.fail(w, r, http.StatusInternalServerError, "misconfigured", "This receiver is not set up right.", err)
	} else {
		options.fail(w, r, http.StatusUnauthorized, string(refusal.Code), refusal.Message, err)
	}
	return nil, false
}

func (options ReceiverOptions) fail(w http.ResponseWriter, r *http.Request, status int, code, message string, err error) {
	if options.OnError != nil {
		options.OnError(r, err)
	}
	body, _ := json.Marshal(map[string]string{"code": code, "message": message}) // two strings: cannot fail
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the sender may be gone already
}
