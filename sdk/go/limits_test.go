package posthorn

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestLimitsOfHeadersTimesAndSecrets(t *testing.T) {
	const secret, body, whsec = "a secret", `{}`, "whsec_bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4="
	signature := "sha256=" + hexHMAC(secret, body)
	grantiva := func(value string) http.Header { return http.Header{"X-Grantiva-Signature": {value}} }
	stamped := func(stamp string) http.Header {
		return http.Header{
			"X-Grantex-Timestamp": {stamp}, "X-Grantex-Signature": {signature},
			"X-Grantex-Signature-V2": {"sha256=" + hexHMAC(secret, stamp+"."+body)},
		}
	}
	for title, test := range map[string]struct {
		format Format
		header http.Header
		secret string
		want   VerifyCode
	}{
		"a header of 8,192 characters":     {FormatGrantiva, grantiva(strings.Repeat("x", 8192-72) + " " + signature), secret, ""},
		"a header of 8,193 characters":     {FormatGrantiva, grantiva(strings.Repeat("x", 8193-72) + " " + signature), secret, VerifyBadHeader},
		"a time of 12 digits":              {FormatGrantex, stamped("000001000000"), secret, ""},
		"a time of 13 digits":              {FormatGrantex, stamped("0000001000000"), secret, VerifyBadHeader},
		"a time with a sign":               {FormatGrantex, stamped("+1000000"), secret, VerifyBadHeader},
		"a text of 513 bytes as secret":    {FormatGrantiva, grantiva(signature), strings.Repeat("x", 513), VerifyBadSecret},
		"a text of 512 bytes as secret":    {FormatGrantiva, grantiva(signature), strings.Repeat("x", 512), VerifyNoMatch},
		"a line break within base64":       {FormatStandard, http.Header{}, whsec[:20] + "\n" + whsec[20:], VerifyBadSecret},
		"a secret without a line break":    {FormatStandard, http.Header{}, whsec, VerifyMissingHeader},
		"white space of HTTP around":       {FormatGrantiva, grantiva(" \t" + signature + "\r\n"), secret, ""},
		"other white space around":         {FormatGrantiva, grantiva("\u00a0" + signature), secret, VerifyBadHeader},
		"other white space behind":         {FormatGrantiva, grantiva(signature + "\u0085"), secret, VerifyNoMatch},
		"two headers joined":               {FormatGrantiva, grantiva("sha256=00, " + signature), secret, VerifyBadHeader},
		"a byte order mark before a text":  {FormatGrantiva, grantiva(signature), "\ufeff" + secret, VerifyBadSecret},
		"text that is not UTF-8 as secret": {FormatGrantiva, grantiva(signature), "a\xffb", VerifyBadSecret},
	} {
		err := Verify([]byte(body), test.header, VerifyOptions{
			Format: test.format, Secrets: []string{test.secret}, Now: func() time.Time { return time.Unix(1_000_000, 0) },
		})
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", title, err)
			}
		} else if err == nil || codeOf(t, err) != test.want {
			t.Errorf("%s: got %v, want %s", title, err, test.want)
		}
	}
}

func TestStandardHeadersHaveNoCompanion(t *testing.T) {
	for _, v := range readVectors(t, FormatStandard) {
		if v.Title != "a request as sent" {
			continue
		}
		header := canonical(v.header())
		header.Set("Webhook-Signature-Alternate", header.Get("Webhook-Signature"))
		header.Set("Webhook-Signature", "v1,d3Jvbmc=")
		err := Verify([]byte(v.Request.Body), header, v.options(FormatStandard))
		if err == nil || codeOf(t, err) != VerifyNoMatch {
			t.Errorf("got %v", err)
		}
		return
	}
	t.Fatal("the vector is gone")
}

func TestALargeBodyGetsNoHint(t *testing.T) {
	const secret = "a secret"
	for size, want := range map[int]string{1000: HintBodyReserialised, maxRewriteBytes: ""} {
		body := `{"event":"a","data":"` + strings.Repeat("x", size) + `"}`
		header := http.Header{"X-Grantiva-Signature": {"sha256=" + hexHMAC(secret, body)}}
		err := Verify([]byte(body+"\n"), header, VerifyOptions{Format: FormatGrantiva, Secrets: []string{secret}})
		if refusal, ok := err.(*VerifyError); !ok || refusal.Hint != want {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestAReceiverReadsOneMebibyteUnlessToldOtherwise(t *testing.T) {
	const around = `{"event":"a.b","timestamp":"2026-01-15T09:30:00.250Z","data":""}`
	options := receiver(nil)
	options.MaxBodyBytes = 0
	handler := Handler(options, func(context.Context, Event) error { return nil })
	for size, want := range map[int]int{
		DefaultMaxBodyBytes: http.StatusNoContent, DefaultMaxBodyBytes + 1: http.StatusRequestEntityTooLarge,
	} {
		body := strings.Replace(around, `""`, `"`+strings.Repeat("x", size-len(around))+`"`, 1)
		if status, answer := post(t, handler, body, "sha256="+hexHMAC(receiverSecret, body)); status != want {
			t.Errorf("%d bytes: %d %s", size, status, answer)
		}
	}
}
