package posthorn

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const vectorFolder = "../../spec/vectors"

// headerValues reads a header of a vector: one string, or a list where it came several times.
type headerValues []string

func (v *headerValues) UnmarshalJSON(text []byte) error {
	if strings.HasPrefix(string(text), "[") {
		return json.Unmarshal(text, (*[]string)(v))
	}
	*v = []string{""}
	return json.Unmarshal(text, &(*v)[0])
}

type vector struct {
	Title    string
	Expected string
	Hint     string
	Request  struct {
		Headers map[string]headerValues
		Body    string
	}
	Secrets          []string
	Now              int64
	ToleranceSeconds int64
	Signed           *struct {
		Secrets []string
		Message struct {
			ID, UUID, Type, Data string
			OccurredAt           int64
			TenantID             string
			Group                *string
		}
		Stamp struct{ DeliveryUUID string }
	}
}

func (v *vector) header() http.Header {
	header := http.Header{}
	for name, values := range v.Request.Headers {
		header[name] = values
	}
	return header
}

func (v *vector) options(name Format) VerifyOptions {
	return VerifyOptions{
		Format:    name,
		Secrets:   v.Secrets,
		Tolerance: time.Duration(v.ToleranceSeconds) * time.Second,
		Now:       func() time.Time { return time.UnixMilli(v.Now) },
	}
}

func readVectors(t testing.TB, name Format) []vector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(vectorFolder, string(name)+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Format  Format
		Vectors []vector
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if file.Format != name || len(file.Vectors) < 20 {
		t.Fatalf("%s: format %q with %d vectors", name, file.Format, len(file.Vectors))
	}
	return file.Vectors
}

func TestEveryVectorFileHasAFormat(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectorFolder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := Format(strings.TrimSuffix(filepath.Base(file), ".json")); formats[name] == nil {
			t.Errorf("there are vectors for %q and no such format here", name)
		}
	}
	if len(files) != len(formats) {
		t.Errorf("%d vector files for %d formats", len(files), len(formats))
	}
}

func TestVerifyAnswersEachVectorAsExpected(t *testing.T) {
	for name := range formats {
		for _, v := range readVectors(t, name) {
			t.Run(string(name)+"/"+v.Title, func(t *testing.T) {
				err := Verify([]byte(v.Request.Body), v.header(), v.options(name))
				got, hint := "ok", ""
				var refusal *VerifyError
				if errors.As(err, &refusal) {
					got, hint = string(refusal.Code), refusal.Hint
				} else if err != nil {
					t.Fatalf("not a *VerifyError: %v", err)
				}
				if got != v.Expected || hint != v.Hint {
					t.Errorf("got %s %q, want %s %q (%v)", got, hint, v.Expected, v.Hint, err)
				}
				for _, secret := range v.Secrets {
					if err != nil && secret != "" && strings.Contains(err.Error(), secret) {
						t.Errorf("the error repeats a secret: %v", err)
					}
				}
			})
		}
	}
}

func TestParseEventReadsWhatWasPublished(t *testing.T) {
	for name := range formats {
		for _, v := range readVectors(t, name) {
			if v.Signed == nil {
				continue
			}
			t.Run(string(name)+"/"+v.Title, func(t *testing.T) {
				event, err := ParseEvent([]byte(v.Request.Body), canonical(v.header()), name)
				if err != nil {
					t.Fatal(err)
				}
				sent := v.Signed.Message
				wantID := map[Format]string{FormatGravv: sent.UUID, FormatGrantiva: v.Signed.Stamp.DeliveryUUID}[name]
				if wantID == "" {
					wantID = sent.ID
				}
				if event.ID != wantID || event.Type != sent.Type {
					t.Errorf("id %q type %q, want %q %q", event.ID, event.Type, wantID, sent.Type)
				}
				wantAt := sent.OccurredAt
				if name == FormatGrantiva {
					wantAt -= wantAt % 1000 // its times are whole seconds
				}
				if name != FormatLexigram && event.OccurredAt.UnixMilli() != wantAt {
					t.Errorf("occurred at %v, want %d", event.OccurredAt, sent.OccurredAt)
				}
				if name == FormatGravv && (event.TenantID != sent.TenantID || (sent.Group != nil) != (event.Group != "")) {
					t.Errorf("tenant %q group %q, want %q %v", event.TenantID, event.Group, sent.TenantID, sent.Group)
				}
				if !sameJSON(t, event.Data, []byte(sent.Data)) {
					t.Errorf("data %s, want %s", event.Data, sent.Data)
				}
			})
		}
	}
}

// canonical has header names as net/http gives them to a handler.
func canonical(header http.Header) http.Header {
	result := http.Header{}
	for name, values := range header {
		for _, value := range values {
			result.Add(name, value)
		}
	}
	return result
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var left, right any
	if err := json.Unmarshal(a, &left); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &right); err != nil {
		t.Fatal(err)
	}
	leftText, _ := json.Marshal(left)
	rightText, _ := json.Marshal(right)
	return string(leftText) == string(rightText)
}
