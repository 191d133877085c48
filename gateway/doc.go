// Package gateway is a GraphQL gateway: many services, one schema.
//
// It is told the complete list of services, asks each what it is
// (introspection), and serves all of them at /graphql. Each root field belongs
// to one service; what is below it is that service's own. An operation becomes
// one request to each service that it touches; their JSON goes through without
// being decoded.
//
// The package promises: a Schema is a value, and a request ends on the one that
// it began with; a service that hangs, breaks or says nonsense harms its own
// fields and no others; nothing that is registered later changes what clients
// of earlier services see; everything that clients or services can grow has a
// bound (Limits); what clients read never holds a URL, a token or an error of
// ours. Gateway.Run owns every goroutine that outlives a request.
package gateway
