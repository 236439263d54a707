package posthorn

import (
	"net/url"
	"strconv"
)

// PageParams say which page of a list to get.
type PageParams struct {
	// Limit is how many at most, 1 to 200. Zero: as many as the server gives.
	Limit int
	// Cursor is NextCursor of the page before. Empty: the first page.
	Cursor string
}

func (p PageParams) query() url.Values {
	query := url.Values{}
	if p.Limit != 0 {
		query.Set("limit", strconv.Itoa(p.Limit))
	}
	if p.Cursor != "" {
		query.Set("cursor", p.Cursor)
	}
	return query
}
