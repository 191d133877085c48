//go:build !unix

package gateway

// quiet cannot be found out here: a line is used as long as it works.
func (c *line) quiet() bool { return true }
