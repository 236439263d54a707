package posthorn

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// maxRewriteBytes bounds what is spent on an explanation.
const maxRewriteBytes = 64 << 10

// matchesRewritten tells whether a body that does not verify would, had it not been parsed and written again: it
// takes back what the usual encoders do (white space, escapes for HTML or for all but ASCII, a line break at the end).
// The order of members cannot be taken back.
func (v *verifier) matchesRewritten(payload []byte) bool {
	if len(payload) > maxRewriteBytes {
		return false
	}
	var compact bytes.Buffer
	if json.Compact(&compact, payload) != nil {
		return false
	}
	originals := [][]byte{compact.Bytes(), bytes.TrimSpace(payload)}
	if plain, err := unescape(payload); err == nil {
		originals = append(originals, plain)
	}
	for _, original := range originals {
		if bytes.Equal(original, payload) {
			continue
		}
		refusal := v.verify(original)
		if refusal == nil || refusal.Code == VerifyTooOld || refusal.Code == VerifyTooNew {
			return true
		}
	}
	return false
}

// unescape writes JSON as compactly as can be: no white space, no escape that is not needed. Order and numbers stay.
func unescape(text []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	// One entry for each open object or array: how many tokens it has had.
	type level struct {
		object bool
		tokens int
	}
	var open []level
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		delimiter, isDelimiter := token.(json.Delim)
		if isDelimiter && (delimiter == '}' || delimiter == ']') {
			open = open[:len(open)-1]
			out.WriteByte(byte(delimiter))
			continue
		}
		if len(open) > 0 {
			at := &open[len(open)-1]
			if at.object && at.tokens%2 == 1 {
				out.WriteByte(':')
			} else if at.tokens > 0 {
				out.WriteByte(',')
			}
			at.tokens++
		}
		if isDelimiter {
			open = append(open, level{object: delimiter == '{'})
			out.WriteByte(byte(delimiter))
			continue
		}
		if err := encoder.Encode(token); err != nil {
			return nil, err
		}
		out.Truncate(out.Len() - 1) // the line break that Encode adds
	}
}
