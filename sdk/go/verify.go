package posthorn

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultTolerance is how far a signed time may be from the clock, either way.
const DefaultTolerance = 5 * time.Minute

const (
	maxHeaderLength = 8192
	// One check of a public-key signature takes about 0.1 ms, and anybody may send a header full of them; nobody has
	// this many live keys.
	maxPublicKeyCandidates = 16
)

// VerifyOptions say how to verify.
type VerifyOptions struct {
	// Format the webhook was made with. Empty: FormatStandard.
	Format Format
	// Secrets of the webhook, any one of which may have signed: give both while they rotate. For
	// FormatStandardEd25519 its public keys ("whpk_…"). At least one.
	Secrets []string
	// Tolerance is how far a signed time may be from Now, either way, in whole seconds. Zero: DefaultTolerance.
	// Negative: any. FormatGrantiva, FormatGravv and FormatLexigram sign no time, so nothing is checked there.
	Tolerance time.Duration
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// VerifySignature tells whether signature is "sha256=" and the lower-case hex HMAC-SHA256 of payload, the raw body,
// under secret, which is used as the text it is. It compares in constant time. Whatever comes in, the answer is a bool:
// an empty secret or a header in another form is false.
//
// It is for receivers that look at one header, such as X-Grantex-Signature. [Verify] checks the time as well, knows
// every format, and says what is wrong.
func VerifySignature(payload []byte, signature, secret string) bool {
	if secret == "" {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(payload)
	return hmac.Equal([]byte("sha256="+hex.EncodeToString(mac.Sum(nil))), []byte(signature))
}

// Verify tells whether a request was signed with one of the secrets: nil if it was, else a [*VerifyError] that says
// why not. Every signature that the format has must be there and match, and a signed time must be near the clock.
//
// payload is the raw body, before anything parsed it; header is the Header of the [http.Request]. Verify compares in
// constant time and does not panic, whatever arrived.
func Verify(payload []byte, header http.Header, options VerifyOptions) error {
	v, refusal := newVerifier(header, options)
	if refusal == nil {
		refusal = v.verify(payload)
	}
	if refusal == nil {
		return nil
	}
	if refusal.Code == VerifyNoMatch && v.matchesRewritten(payload) {
		refusal.Hint = HintBodyReserialised
		refusal.Message = "The body was parsed and written again before it was verified: the signature fits what was sent, " +
			"not these bytes. Verify the raw body, before any middleware decodes it."
	}
	return refusal
}

type verifier struct {
	format    *format
	keys      []key
	header    http.Header
	now       time.Time
	tolerance time.Duration
}

func newVerifier(header http.Header, options VerifyOptions) (*verifier, *VerifyError) {
	name := options.Format
	if name == "" {
		name = FormatStandard
	}
	f, ok := formats[name]
	if !ok {
		return nil, refuse(VerifyUnknownFormat, "There is no format %q; use one of %s.", name,
			strings.Join(formatNames(), ", "))
	}
	if len(options.Secrets) == 0 {
		return nil, refuse(VerifyBadSecret, "Give at least one secret.")
	}
	v := &verifier{format: f, header: header, tolerance: options.Tolerance}
	if v.tolerance == 0 {
		v.tolerance = DefaultTolerance
	}
	for i, secret := range options.Secrets {
		k, problem := f.readSecret(secret)
		if problem != "" {
			return nil, refuse(VerifyBadSecret, "Secrets[%d] %s.", i, problem)
		}
		v.keys = append(v.keys, k)
	}
	if options.Now == nil {
		v.now = time.Now()
	} else {
		v.now = options.Now()
	}
	return v, nil
}

func (v *verifier) verify(payload []byte) *VerifyError {
	for i := range v.format.schemes {
		if refusal := v.verifyScheme(&v.format.schemes[i], payload); refusal != nil {
			return refusal
		}
	}
	return nil
}

// verifyScheme tries the header and, where there is one, its companion.
func (v *verifier) verifyScheme(s *scheme, payload []byte) *VerifyError {
	value, refusal := v.read(s.header)
	if refusal != nil {
		return refusal
	}
	refusal = v.verifyHeader(s, s.header, value, payload)
	if refusal == nil || s.list || refusal.Code != VerifyNoMatch {
		return refusal
	}
	alternate, missing := v.read(s.header + "-Alternate")
	if missing != nil {
		if missing.Code == VerifyMissingHeader {
			return refusal
		}
		return missing
	}
	return v.verifyHeader(s, s.header+"-Alternate", alternate, payload)
}

func (v *verifier) verifyHeader(s *scheme, name, value string, payload []byte) *VerifyError {
	// A header is a list of signatures; those of other kinds are passed over.
	var candidates []string
	for _, item := range strings.Split(value, " ") {
		if strings.HasSuffix(item, ",") {
			// Proxies join two headers with a comma and a space, and no signature ends with a comma.
			return refuse(VerifyBadHeader, "The header %s came more than once.", name)
		}
		if len(item) > len(s.prefix) && strings.HasPrefix(item, s.prefix) {
			candidates = append(candidates, item[len(s.prefix):])
		}
	}
	if len(candidates) == 0 {
		return refuse(VerifyBadHeader, "The header %s holds nothing of the form %s<signature>.", name, s.prefix)
	}

	signed := make([]byte, 0, len(payload)+128)
	var signedAt int64
	for _, carrier := range s.carriers {
		text, refusal := v.read(carrier)
		if refusal != nil {
			return refusal
		}
		if carrier == s.timeHeader {
			if signedAt, refusal = readUnix(carrier, text); refusal != nil {
				return refusal
			}
		}
		signed = append(append(signed, text...), '.')
	}
	signed = append(signed, payload...)

	matches := false
	for _, k := range v.keys {
		if s.matches(k, signed, candidates) {
			matches = true
		}
	}
	if !matches {
		return refuse(VerifyNoMatch, "No signature in %s was made with a given secret over this body; check that the "+
			"secret is the one of this webhook, and that the body is verified as it arrived.", name)
	}
	if s.timeHeader == "" {
		return nil
	}
	return v.checkAge(signedAt)
}

// matches tells whether one of the candidates was made with the key.
func (s *scheme) matches(k key, signed []byte, candidates []string) bool {
	if s.publicKey {
		return slices.ContainsFunc(wellFormed(candidates), func(signature []byte) bool {
			return ed25519.Verify(k.publicKey, signed, signature)
		})
	}
	// Once for all of them: anybody may send a header with thousands.
	mac := hmac.New(sha256.New, k.hmac)
	mac.Write(signed)
	sum := mac.Sum(nil)
	expected := []byte(hex.EncodeToString(sum))
	if s.base64 {
		expected = []byte(base64.StdEncoding.EncodeToString(sum))
	}
	matches := false
	for _, candidate := range candidates {
		if hmac.Equal(expected, []byte(candidate)) {
			matches = true
		}
	}
	return matches
}

// wellFormed are the first few that can be ed25519 signatures in base64.
func wellFormed(candidates []string) [][]byte {
	var fit [][]byte
	for _, candidate := range candidates {
		signature, err := decodeBase64(candidate)
		if err == nil && len(signature) == ed25519.SignatureSize && len(fit) < maxPublicKeyCandidates {
			fit = append(fit, signature)
		}
	}
	return fit
}

func (v *verifier) checkAge(signedAt int64) *VerifyError {
	tolerance := int64(v.tolerance / time.Second)
	if v.tolerance < 0 {
		return nil
	}
	age := v.now.Unix() - signedAt
	switch {
	case age > tolerance:
		return refuse(VerifyTooOld, "The signature is %d s old and the tolerance is %d s. It may be a replay, or the "+
			"clock here is wrong.", age, tolerance)
	case -age > tolerance:
		return refuse(VerifyTooNew, "The signature is dated %d s ahead and the tolerance is %d s. Check the clock here.",
			-age, tolerance)
	}
	return nil
}

// read returns the one value of a header, in whatever letter case its name is.
func (v *verifier) read(name string) (string, *VerifyError) {
	value, count := "", 0
	for given, values := range v.header {
		if strings.EqualFold(given, name) && len(values) > 0 {
			value = values[0]
			count += len(values)
		}
	}
	switch {
	case count == 0:
		return "", refuse(VerifyMissingHeader, "The header %s is missing.", name)
	case count > 1:
		return "", refuse(VerifyBadHeader, "The header %s came more than once.", name)
	case len(value) > maxHeaderLength:
		return "", refuse(VerifyBadHeader, "The header %s is longer than %d characters.", name, maxHeaderLength)
	}
	// What HTTP calls white space (RFC 9110, section 5.6.3), and line breaks.
	return strings.Trim(value, " \t\r\n"), nil
}

// readUnix takes digits alone: no sign, no space, and no more than twelve, as the sender writes them.
func readUnix(header, text string) (int64, *VerifyError) {
	unix, err := strconv.ParseUint(text, 10, 63)
	if err != nil || len(text) > 12 {
		return 0, refuse(VerifyBadHeader, "The header %s is not a unix time in seconds.", header)
	}
	return int64(unix), nil
}

func refuse(code VerifyCode, message string, arguments ...any) *VerifyError {
	return &VerifyError{Code: code, Message: fmt.Sprintf(message, arguments...)}
}
