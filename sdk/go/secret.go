package posthorn

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxTextSecretBytes = 512
	// Standard Webhooks 1.0.0, "Signature scheme": between 24 bytes (192 bits) and 64 bytes (512 bits).
	minWhsecBytes = 24
	maxWhsecBytes = 64
)

// key is a secret made ready: one of the two.
type key struct {
	hmac      []byte
	publicKey ed25519.PublicKey
}

// byteOrderMark comes along where a secret is read from a file that some editors wrote.
const byteOrderMark = "\ufeff"

const emptySecret = "is empty; is the variable set that it comes from?"

// The readers below return what is wrong with a secret, or "". They never repeat the secret.

// readText takes the text of a secret as it is.
func readText(secret string) (key, string) {
	switch {
	case secret == "":
		return key{}, emptySecret
	case !utf8.ValidString(secret):
		return key{}, "is not UTF-8; give the text as it was shown"
	case strings.TrimSpace(secret) != secret || strings.Trim(secret, byteOrderMark) != secret ||
		strings.ContainsFunc(secret, unicode.IsControl):
		return key{}, "has a line break, a control character, or white space at an end; paste it without"
	case len(secret) > maxTextSecretBytes:
		return key{}, fmt.Sprintf("has %d bytes; at most %d are allowed", len(secret), maxTextSecretBytes)
	}
	return key{hmac: []byte(secret)}, ""
}

// readWhsec takes "whsec_" and base64, the prefix being optional as in the reference libraries.
func readWhsec(secret string) (key, string) {
	if secret == "" {
		return key{}, emptySecret
	}
	if isKeyOfPair(secret) {
		return key{}, fmt.Sprintf(`is an ed25519 key; give a secret that begins with "whsec_", or use the format %q`,
			FormatStandardEd25519)
	}
	bytes, err := decodeBase64(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return key{}, `is not "whsec_" and base64; give it as it was shown, without white space`
	}
	if len(bytes) < minWhsecBytes || len(bytes) > maxWhsecBytes {
		return key{}, fmt.Sprintf("stands for %d bytes; give one of %d to %d", len(bytes), minWhsecBytes, maxWhsecBytes)
	}
	return key{hmac: bytes}, ""
}

// readEd25519 takes a public key ("whpk_"), or the private one ("whsk_") that it can be made from.
func readEd25519(secret string) (key, string) {
	if secret == "" {
		return key{}, emptySecret
	}
	if !isKeyOfPair(secret) {
		return key{}, `is not a public key that begins with "whpk_"`
	}
	bytes, err := decodeBase64(secret[len("whpk_"):])
	if err != nil {
		return key{}, "is not base64 behind its prefix; give it as it was shown, without white space"
	}
	switch isPublic := strings.HasPrefix(secret, "whpk_"); {
	case isPublic && len(bytes) == ed25519.PublicKeySize:
		return key{publicKey: bytes}, ""
	case isPublic:
		return key{}, fmt.Sprintf("stands for %d bytes; a public key has %d", len(bytes), ed25519.PublicKeySize)
	case len(bytes) == ed25519.SeedSize || len(bytes) == ed25519.PrivateKeySize:
		private := ed25519.NewKeyFromSeed(bytes[:ed25519.SeedSize])
		if len(bytes) == ed25519.PrivateKeySize && string(private) != string(bytes) {
			return key{}, "holds a public key that does not belong to its private key"
		}
		return key{publicKey: private.Public().(ed25519.PublicKey)}, ""
	}
	return key{}, fmt.Sprintf("stands for %d bytes; a private key has %d or %d",
		len(bytes), ed25519.SeedSize, ed25519.PrivateKeySize)
}

func isKeyOfPair(secret string) bool {
	return strings.HasPrefix(secret, "whpk_") || strings.HasPrefix(secret, "whsk_")
}

// decodeBase64 is strict, as RFC 4648, section 4 has it: decoders differ on everything else.
func decodeBase64(text string) ([]byte, error) {
	bytes, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, err
	}
	if base64.StdEncoding.EncodeToString(bytes) != text {
		// The decoder passes over line breaks.
		return nil, base64.CorruptInputError(0)
	}
	return bytes, nil
}
