package posthorn

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// ErrorCode is the stable code of an error of the API. Decide by it.
type ErrorCode string

// The codes that the API answers with.
const (
	CodeBadRequest           ErrorCode = "BAD_REQUEST"
	CodeUnauthorized         ErrorCode = "UNAUTHORIZED"
	CodePlanLimitExceeded    ErrorCode = "PLAN_LIMIT_EXCEEDED"
	CodePlanFeatureRequired  ErrorCode = "PLAN_FEATURE_REQUIRED"
	CodeForbidden            ErrorCode = "FORBIDDEN"
	CodeNotFound             ErrorCode = "NOT_FOUND"
	CodeMethodNotAllowed     ErrorCode = "METHOD_NOT_ALLOWED"
	CodeRequestTimeout       ErrorCode = "REQUEST_TIMEOUT"
	CodeIdempotencyConflict  ErrorCode = "IDEMPOTENCY_CONFLICT"
	CodeInvalidState         ErrorCode = "INVALID_STATE"
	CodeAlreadyExists        ErrorCode = "ALREADY_EXISTS"
	CodePayloadTooLarge      ErrorCode = "PAYLOAD_TOO_LARGE"
	CodeURITooLong           ErrorCode = "URI_TOO_LONG"
	CodeUnsupportedMediaType ErrorCode = "UNSUPPORTED_MEDIA_TYPE"
	CodeUnknownEventType     ErrorCode = "UNKNOWN_EVENT_TYPE"
	CodeInvalidEventData     ErrorCode = "INVALID_EVENT_DATA"
	CodeTooManyRequests      ErrorCode = "TOO_MANY_REQUESTS"
	CodeHeadersTooLarge      ErrorCode = "HEADERS_TOO_LARGE"
	CodeInternal             ErrorCode = "INTERNAL"
	CodeOverloaded           ErrorCode = "OVERLOADED"
	CodeStoreUnavailable     ErrorCode = "STORE_UNAVAILABLE"
	CodeDeliversOnly         ErrorCode = "DELIVERS_ONLY"
	CodeShuttingDown         ErrorCode = "SHUTTING_DOWN"
	CodeStoreFull            ErrorCode = "STORE_FULL"
)

// FieldError is one thing wrong with one field of a request.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// APIError is an answer of the API that is not a success. A request that got no answer has another error, which wraps
// that of net/http.
type APIError struct {
	// Status is the HTTP status.
	Status int
	// Code is empty where the answer was not Posthorn's, but that of a proxy between.
	Code ErrorCode
	// Message is for people.
	Message string
	// RequestID finds the request in the log of the operator.
	RequestID string
	// Fields are there where single fields are wrong.
	Fields []FieldError
	// RetryAfter is how long the server asks to wait; zero where it does not say.
	RetryAfter time.Duration
}

func (e *APIError) Error() string {
	code := string(e.Code)
	if code == "" {
		code = http.StatusText(e.Status)
	}
	text := fmt.Sprintf("posthorn: %d %s: %s", e.Status, code, e.Message)
	if e.RequestID != "" {
		text += " (" + e.RequestID + ")"
	}
	return text
}

// HasCode tells whether err is an [*APIError] with one of the codes.
func HasCode(err error, codes ...ErrorCode) bool {
	var apiError *APIError
	return errors.As(err, &apiError) && slices.Contains(codes, apiError.Code)
}

const maxForeignMessage = 200

func readAPIError(response *http.Response, body []byte, now time.Time) *APIError {
	apiError := &APIError{
		Status:     response.StatusCode,
		RequestID:  response.Header.Get("X-Request-Id"),
		RetryAfter: readRetryAfter(response.Header.Get("Retry-After"), now),
	}
	var problem struct {
		Code      ErrorCode    `json:"code"`
		Message   string       `json:"message"`
		RequestID string       `json:"requestId"`
		Errors    []FieldError `json:"errors"`
	}
	if json.Unmarshal(body, &problem) == nil && problem.Code != "" {
		apiError.Code, apiError.Message, apiError.Fields = problem.Code, problem.Message, problem.Errors
		if problem.RequestID != "" {
			apiError.RequestID = problem.RequestID
		}
		return apiError
	}
	if location := response.Header.Get("Location"); location != "" {
		apiError.Message = "the answer is a redirect to " + strconv.Quote(location) + ", which is not followed: " +
			"give the address it leads to as BaseURL"
		return apiError
	}
	apiError.Message = "the answer is not Posthorn's: " + strconv.Quote(string(body[:min(len(body), maxForeignMessage)]))
	return apiError
}

// readRetryAfter takes seconds or a date (RFC 9110, section 10.2.3); zero for anything else, and at most 272 years.
func readRetryAfter(text string, now time.Time) time.Duration {
	// Of more digits than fit it is the largest number that does, and the error says so besides.
	if seconds, err := strconv.ParseUint(text, 10, 33); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}
