module github.com/posthorn/posthorn-go/interop

go 1.22

require (
	github.com/posthorn/posthorn-go v0.0.0
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
)

replace github.com/posthorn/posthorn-go => ../
