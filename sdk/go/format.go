package posthorn

import "sort"

// Format is the name of a wire format: which bytes a receiver gets, and how they are signed.
type Format string

// The presets of Posthorn. What each looks like is described in its documentation under "Wire formats".
const (
	// FormatStandard is Standard Webhooks 1.0.0 with HMAC signatures (v1), the default.
	FormatStandard Format = "standard"
	// FormatStandardEd25519 is Standard Webhooks with public-key signatures (v1a).
	FormatStandardEd25519 Format = "standard-ed25519"
	FormatGrantex         Format = "grantex"
	FormatGrantiva        Format = "grantiva"
	FormatGravv           Format = "gravv"
	FormatLexigram        Format = "lexigram"
)

// scheme is one signature of a format.
type scheme struct {
	header string
	// prefix stands before each signature in the header.
	prefix string
	// carriers are headers whose values, each followed by a full stop, are signed before the body.
	carriers []string
	// timeHeader is the carrier that holds the unix time of the attempt; empty where no time is signed.
	timeHeader string
	// list means that the header holds all signatures while secrets rotate. Without it the header holds one, and the
	// rest stand in a header of the same name and "-Alternate".
	list      bool
	base64    bool
	publicKey bool
}

// place says where a value of an event is: in a header, or in a member of the body.
type place struct {
	header string
	member string
}

type format struct {
	name       Format
	schemes    []scheme
	readSecret func(secret string) (key, string)
	// Where the parts of an event are. No place: the format does not carry it. data with no place is the whole body.
	id, eventType, occurredAt, data, tenant, category, group place
}

func bodyScheme(header, prefix string) scheme {
	return scheme{header: header, prefix: prefix}
}

func standardFormat(name Format, prefix string, publicKey bool, readSecret func(string) (key, string)) *format {
	return &format{
		name: name,
		schemes: []scheme{{
			header:     "webhook-signature",
			prefix:     prefix,
			carriers:   []string{"webhook-id", "webhook-timestamp"},
			timeHeader: "webhook-timestamp",
			list:       true,
			base64:     true,
			publicKey:  publicKey,
		}},
		readSecret: readSecret,
		id:         place{header: "webhook-id"},
		eventType:  place{member: "type"},
		occurredAt: place{member: "timestamp"},
		data:       place{member: "data"},
	}
}

var formats = map[Format]*format{
	FormatStandard:        standardFormat(FormatStandard, "v1,", false, readWhsec),
	FormatStandardEd25519: standardFormat(FormatStandardEd25519, "v1a,", true, readEd25519),
	FormatGrantex: {
		name: FormatGrantex,
		schemes: []scheme{
			bodyScheme("X-Grantex-Signature", "sha256="),
			{
				header:     "X-Grantex-Signature-V2",
				prefix:     "sha256=",
				carriers:   []string{"X-Grantex-Timestamp"},
				timeHeader: "X-Grantex-Timestamp",
			},
		},
		readSecret: readText,
		id:         place{member: "id"},
		eventType:  place{member: "type"},
		occurredAt: place{member: "createdAt"},
		data:       place{member: "data"},
	},
	FormatGrantiva: {
		name:       FormatGrantiva,
		schemes:    []scheme{bodyScheme("X-Grantiva-Signature", "sha256=")},
		readSecret: readText,
		id:         place{header: "X-Grantiva-Delivery"},
		eventType:  place{member: "event"},
		occurredAt: place{member: "timestamp"},
		data:       place{member: "data"},
	},
	FormatGravv: {
		name:       FormatGravv,
		schemes:    []scheme{bodyScheme("X-Gravv-Signature", "")},
		readSecret: readText,
		id:         place{member: "event_id"},
		eventType:  place{member: "event_type"},
		occurredAt: place{member: "timestamp"},
		data:       place{member: "event_data"},
		tenant:     place{member: "tenant_id"},
		category:   place{member: "event_category"},
		group:      place{member: "event_group_id"},
	},
	FormatLexigram: {
		name:       FormatLexigram,
		schemes:    []scheme{bodyScheme("X-Webhook-Signature", "sha256=")},
		readSecret: readText,
		id:         place{header: "X-Webhook-Event-ID"},
		eventType:  place{header: "X-Webhook-Event-Type"},
	},
}

func formatNames() []string {
	names := make([]string, 0, len(formats))
	for name := range formats {
		names = append(names, string(name))
	}
	sort.Strings(names)
	return names
}
