// Package posthorn receives and sends webhooks with Posthorn.
//
// A receiver verifies what arrives with [Verify], or lets [Handler] or [Middleware] do it. A sender talks to the API
// through a [Client].
//
// The package needs nothing but the standard library. All of it is safe for use by several goroutines at once.
package posthorn

// Version is the release of this package, sent in the User-Agent header.
const Version = "0.1.0"
