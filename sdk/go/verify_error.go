package posthorn

// VerifyCode says why a request was refused. Codes are stable.
type VerifyCode string

const (
	// VerifyMissingHeader: a header that the format has is not there. Message names it.
	VerifyMissingHeader VerifyCode = "missing_header"
	// VerifyBadHeader: a header came twice, or is not what the format writes.
	VerifyBadHeader VerifyCode = "bad_header"
	// VerifyNoMatch: the secret is another one, or the body is not what was sent. Hint may tell.
	VerifyNoMatch VerifyCode = "no_match"
	// VerifyTooOld and VerifyTooNew: the signature fits, but its time is outside the tolerance.
	VerifyTooOld VerifyCode = "too_old"
	VerifyTooNew VerifyCode = "too_new"
	// VerifyBadSecret: a secret cannot be one of this format. The fault is in the options.
	VerifyBadSecret VerifyCode = "bad_secret"
	// VerifyUnknownFormat: there is no such format. The fault is in the options.
	VerifyUnknownFormat VerifyCode = "unknown_format"
)

// HintBodyReserialised: the signature fits the body as it looked before something here parsed it and wrote it again.
const HintBodyReserialised = "body_reserialised"

// VerifyError says why a request was refused. It never holds a secret or a signature.
type VerifyError struct {
	Code VerifyCode
	// Message is for people, and says what to do.
	Message string
	// Hint is HintBodyReserialised where that was found out, else empty.
	Hint string
}

func (e *VerifyError) Error() string {
	return "posthorn: webhook refused (" + string(e.Code) + "): " + e.Message
}
