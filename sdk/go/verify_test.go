package posthorn

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func hexHMAC(secret string, signed string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestVerifySignatureTakesOneFormOnly(t *testing.T) {
	const secret, body = "a secret", `{"type":"grant.created"}`
	good := "sha256=" + hexHMAC(secret, body)
	for title, test := range map[string]struct {
		body, signature, secret string
		want                    bool
	}{
		"as sent":               {body, good, secret, true},
		"another body":          {body + "\n", good, secret, false},
		"another secret":        {body, good, "another", false},
		"bare hex":              {body, strings.TrimPrefix(good, "sha256="), secret, false},
		"upper case":            {body, "sha256=" + strings.ToUpper(good[7:]), secret, false},
		"another hash":          {body, "sha512=" + good[7:], secret, false},
		"cut short":             {body, good[:len(good)-2], secret, false},
		"longer":                {body, good + "00", secret, false},
		"space at its end":      {body, good + " ", secret, false},
		"empty signature":       {body, "", secret, false},
		"prefix alone":          {body, "sha256=", secret, false},
		"empty secret":          {body, "sha256=" + hexHMAC("", body), "", false},
		"empty body, as signed": {"", "sha256=" + hexHMAC(secret, ""), secret, true},
	} {
		if got := VerifySignature([]byte(test.body), test.signature, test.secret); got != test.want {
			t.Errorf("%s: got %v", title, got)
		}
	}
}

func TestVerifySignatureAgreesWithTheVectorsOfBodySignatures(t *testing.T) {
	for name, header := range map[Format]string{
		FormatGrantiva: "X-Grantiva-Signature", FormatLexigram: "X-Webhook-Signature", FormatGrantex: "X-Grantex-Signature",
	} {
		seen := map[bool]int{}
		for _, v := range readVectors(t, name) {
			if v.Title != "a request as sent" && v.Title != "a byte of the body changed" && v.Title != "another secret" {
				continue
			}
			want := v.Expected == "ok"
			seen[want]++
			got := VerifySignature([]byte(v.Request.Body), v.header().Get(header), v.Secrets[0])
			if got != want {
				t.Errorf("%s, %s: got %v", name, v.Title, got)
			}
		}
		if seen[true] != 1 || seen[false] != 2 {
			t.Errorf("%s: saw %v", name, seen)
		}
	}
}

func codeOf(t *testing.T, err error) VerifyCode {
	t.Helper()
	var refusal *VerifyError
	if !errors.As(err, &refusal) {
		t.Fatalf("not a *VerifyError: %v", err)
	}
	return refusal.Code
}

func TestRefusalsNameTheirCause(t *testing.T) {
	at := time.Unix(1_768_469_401, 0)
	const secret, body = "a secret", `{"event":"x","timestamp":"t","data":{"a":1}}`
	good := http.Header{"X-Grantiva-Signature": {"sha256=" + hexHMAC(secret, body)}}
	stamped := http.Header{
		"X-Grantex-Timestamp":    {"1768469401"},
		"X-Grantex-Signature":    {"sha256=" + hexHMAC(secret, body)},
		"X-Grantex-Signature-V2": {"sha256=" + hexHMAC(secret, "1768469401."+body)},
	}
	for title, test := range map[string]struct {
		body    string
		header  http.Header
		format  Format
		secrets []string
		now     time.Time
		code    VerifyCode
		says    string
	}{
		"missing header":   {body, http.Header{}, FormatGrantiva, []string{secret}, at, VerifyMissingHeader, "X-Grantiva-Signature"},
		"wrong secret":     {body, good, FormatGrantiva, []string{"other"}, at, VerifyNoMatch, "the secret"},
		"re-serialised":    {`{"event": "x", "timestamp": "t", "data": {"a": 1}}`, good, FormatGrantiva, []string{secret}, at, VerifyNoMatch, "parsed and written again"},
		"too old":          {body, stamped, FormatGrantex, []string{secret}, at.Add(time.Hour), VerifyTooOld, "3600 s old"},
		"too new":          {body, stamped, FormatGrantex, []string{secret}, at.Add(-time.Hour), VerifyTooNew, "3600 s ahead"},
		"no secret":        {body, good, FormatGrantiva, nil, at, VerifyBadSecret, "at least one"},
		"unset secret":     {body, good, FormatGrantiva, []string{""}, at, VerifyBadSecret, "Secrets[0] is empty"},
		"pasted secret":    {body, good, FormatGrantiva, []string{secret, secret + "\n"}, at, VerifyBadSecret, "Secrets[1]"},
		"not base64":       {body, good, FormatStandard, []string{"whsec_not*base64"}, at, VerifyBadSecret, "base64"},
		"key for a secret": {body, good, FormatStandard, []string{"whpk_AAAA"}, at, VerifyBadSecret, "standard-ed25519"},
		"no such format":   {body, good, "grantxe", []string{secret}, at, VerifyUnknownFormat, "grantex, grantiva"},
	} {
		err := Verify([]byte(test.body), test.header, VerifyOptions{
			Format: test.format, Secrets: test.secrets, Now: func() time.Time { return test.now },
		})
		if err == nil || codeOf(t, err) != test.code || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %s with %q", title, err, test.code, test.says)
		}
	}
}

func TestTheHintSeesWhatEncodersDo(t *testing.T) {
	const secret, body = "a secret", `{"event":"x","data":{"b":"<é & \"q\">","a":[1.0,true,null,{}]}}`
	header := http.Header{"X-Grantiva-Signature": {"sha256=" + hexHMAC(secret, body)}}
	for title, test := range map[string]struct {
		body string
		hint string
	}{
		"escapes for HTML": {`{"event":"x","data":{"b":"\u003cé \u0026 \"q\"\u003e","a":[1.0,true,null,{}]}}`, HintBodyReserialised},
		"ASCII alone":      {`{"event": "x", "data": {"b": "<\u00e9 & \"q\">", "a": [1.0, true, null, {}]}}`, HintBodyReserialised},
		"another order":    {`{"data":{"a":[1.0,true,null,{}],"b":"<é & \"q\">"},"event":"x"}`, ""},
		"another value":    {`{"event": "x", "data": {"b": "<é & \"q\">", "a": [1.0, true, null, []]}}`, ""},
		"not JSON":         {`event=x`, ""},
	} {
		err := Verify([]byte(test.body), header, VerifyOptions{Format: FormatGrantiva, Secrets: []string{secret}})
		var refusal *VerifyError
		if !errors.As(err, &refusal) || refusal.Code != VerifyNoMatch || refusal.Hint != test.hint {
			t.Errorf("%s: got %v, want hint %q", title, err, test.hint)
		}
	}
}

func TestToleranceIsFiveMinutesUnlessGivenAndNegativeIsAny(t *testing.T) {
	const secret, body = "a secret", `{}`
	header := http.Header{
		"X-Grantex-Timestamp":    {"1000000"},
		"X-Grantex-Signature":    {"sha256=" + hexHMAC(secret, body)},
		"X-Grantex-Signature-V2": {"sha256=" + hexHMAC(secret, "1000000."+body)},
	}
	for _, test := range []struct {
		tolerance time.Duration
		age       int64
		want      bool
	}{
		{0, 300, true}, {0, 301, false}, {0, -300, true}, {0, -301, false},
		{10 * time.Second, 10, true}, {10 * time.Second, 11, false}, {-1, 1 << 40, true}, {-1, -1_000_000, true},
	} {
		err := Verify([]byte(body), header, VerifyOptions{
			Format: FormatGrantex, Secrets: []string{secret}, Tolerance: test.tolerance,
			Now: func() time.Time { return time.Unix(1_000_000+test.age, 0) },
		})
		if (err == nil) != test.want {
			t.Errorf("tolerance %v, age %d: got %v", test.tolerance, test.age, err)
		}
	}
}

func TestAHeaderUnderTwoSpellingsCameTwice(t *testing.T) {
	const secret, body = "a secret", `{}`
	signature := "sha256=" + hexHMAC(secret, body)
	header := http.Header{"X-Grantiva-Signature": {signature}, "x-grantiva-signature": {signature}}
	err := Verify([]byte(body), header, VerifyOptions{Format: FormatGrantiva, Secrets: []string{secret}})
	if code := codeOf(t, err); code != VerifyBadHeader {
		t.Errorf("got %s", code)
	}
}

func TestOnlySixteenPublicKeySignaturesAreTried(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	const body = `{}`
	good := "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte("evt_1.1000000."+body)))
	wrong := "v1a," + base64.StdEncoding.EncodeToString(make([]byte, ed25519.SignatureSize)) + " "
	for before, want := range map[int]bool{15: true, 16: false} {
		header := http.Header{
			"Webhook-Id": {"evt_1"}, "Webhook-Timestamp": {"1000000"},
			"Webhook-Signature": {"v1,noise v1a,short " + strings.Repeat(wrong, before) + good},
		}
		err := Verify([]byte(body), header, VerifyOptions{
			Format: FormatStandardEd25519, Secrets: []string{"whpk_" + base64.StdEncoding.EncodeToString(public)},
			Now: func() time.Time { return time.Unix(1_000_000, 0) },
		})
		if (err == nil) != want {
			t.Errorf("behind %d wrong ones: got %v", before, err)
		}
	}
}

// FuzzVerify: whatever arrives, the answer is nil or a *VerifyError, and nil only for a body that was signed.
func FuzzVerify(f *testing.F) {
	names := formatNames()
	// By body alone: several formats sign the body in the same way.
	signed := map[string]bool{}
	for i, text := range names {
		name := Format(text)
		for _, v := range readVectors(f, name) {
			header := v.header()
			scheme := formats[name].schemes[0]
			values := canonical(header)
			f.Add(i, []byte(v.Request.Body), strings.Join(v.Secrets, ";"), values.Get("webhook-id"),
				values.Get("webhook-timestamp")+values.Get("X-Grantex-Timestamp"), values.Get(scheme.header),
				values.Get(scheme.header+"-Alternate"), values.Get("X-Grantex-Signature-V2"))
			if v.Expected == "ok" {
				signed[v.Request.Body] = true
			}
		}
	}
	f.Fuzz(func(t *testing.T, at int, body []byte, secrets, id, stamp, signature, alternate, second string) {
		name := Format(names[uint(at)%uint(len(names))])
		header := http.Header{
			"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "X-Grantex-Timestamp": {stamp},
			"X-Grantex-Signature-V2": {second},
		}
		header[formats[name].schemes[0].header] = []string{signature}
		if alternate != "" {
			header[formats[name].schemes[0].header+"-Alternate"] = []string{alternate}
		}
		err := Verify(body, header, VerifyOptions{Format: name, Secrets: strings.Split(secrets, ";"), Tolerance: -1})
		if err == nil {
			if !signed[string(body)] {
				t.Fatalf("verified a body that nobody signed: %q", body)
			}
			return
		}
		if code := codeOf(t, err); code == "" || err.Error() == "" {
			t.Fatalf("a refusal without a reason: %#v", err)
		}
		_, _ = ParseEvent(body, header, name)
		_ = VerifySignature(body, signature, secrets)
	})
}

func TestTheHeadersOfOneRequestAreHashedOnceNotForEachSignatureInThem(t *testing.T) {
	payload := make([]byte, 1<<20)
	timed := func(candidates int) time.Duration {
		header := http.Header{"X-Gravv-Signature": {strings.TrimSpace(strings.Repeat("x ", candidates))}}
		began := time.Now()
		err := Verify(payload, header, VerifyOptions{Format: FormatGravv, Secrets: []string{"a secret"}})
		if codeOf(t, err) != VerifyNoMatch {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	timed(1)
	if one, many := timed(1), timed(4000); many > 100*one {
		t.Errorf("4,000 signatures took %v, one %v", many, one)
	}
}
