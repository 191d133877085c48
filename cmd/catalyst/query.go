package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// querying is one `catalyst query`.
type querying struct {
	*client
	gateway, variables string
}

// graphqlAnswer is a response of a gateway; only the product's own says which
// services answered.
type graphqlAnswer struct {
	Data   json.RawMessage `json:"data"`
	Errors []struct {
		Message string `json:"message"`
		Path    []any  `json:"path"`
	} `json:"errors"`
	Extensions struct {
		Services []struct {
			Name string  `json:"name"`
			OK   bool    `json:"ok"`
			MS   float64 `json:"ms"`
		} `json:"services"`
	} `json:"extensions"`
}

func queryCommand(c *client) *cobra.Command {
	q := &querying{client: c}
	cmd := offline(&cobra.Command{
		Use:   "query DOCUMENT",
		Short: "Ask the GraphQL gateway",
		Long: `Ask the GraphQL gateway, and say which services answered and how long it took.
The data goes to stdout as JSON; with -o json the whole response does.`,
		Example: `  catalyst query '{ allBooks { title } }'
  catalyst query 'query($n: Int) { books(first: $n) { title } }' --variables '{"n": 3}'`,
		Args: want("DOCUMENT"),
		RunE: func(cmd *cobra.Command, args []string) error { return q.run(cmd, args[0]) },
	}, "output", "timeout")
	cmd.Flags().StringVar(&q.gateway, "gateway", "http://localhost:4000/graphql", "where the gateway answers (CATALYST_GATEWAY)")
	fromEnv(cmd.Flags(), "gateway", "CATALYST_GATEWAY")
	cmd.Flags().StringVar(&q.variables, "variables", "", "of the document, a JSON object")
	return cmd
}

func (q *querying) run(cmd *cobra.Command, document string) error {
	body := map[string]any{"query": document}
	if q.variables != "" {
		var variables map[string]any
		if err := json.Unmarshal([]byte(q.variables), &variables); err != nil {
			return unusable(`give an object, as in '{"n": 3}'`, "--variables is no JSON object: %v", err)
		}
		body["variables"] = variables
	}
	address, err := gatewayAddress(q.gateway)
	if err != nil {
		return err
	}
	begun := time.Now()
	text, err := q.post(cmd.Context(), address, body)
	if err != nil {
		return err
	}
	took := time.Since(begun)
	var answer graphqlAnswer
	if err := json.Unmarshal(text, &answer); err != nil {
		return refused("name the gateway's /graphql with --gateway", "%s answered no GraphQL: %.200s", address, text)
	}
	if err := q.print(cmd.OutOrStdout(), text, answer); err != nil {
		return err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), answer.timing(took))
	return answer.fault()
}

// gatewayAddress takes what people write: host:port alone will do.
func gatewayAddress(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", unusable("give its URL, as in http://localhost:4000/graphql", "--gateway (CATALYST_GATEWAY) is %q, which is no address of a gateway", text)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/graphql"
	}
	return u.String(), nil
}

func (q *querying) post(ctx context.Context, address string, body any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(text))
	if err != nil {
		return nil, unusable("give its URL, as in http://localhost:4000/graphql", "--gateway: %v", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/graphql-response+json, application/json")
	request.Header.Set("Catalyst-Trace", "1")
	response, err := http.DefaultClient.Do(request)
	if stranger := (*tls.CertificateVerificationError)(nil); errors.As(err, &stranger) {
		return nil, &failure{status: statusUnreachable, message: fmt.Sprintf("the certificate of the gateway at %s is not trusted: %s", address, oneLine(stranger.Err.Error())),
			hint: "name its authority with SSL_CERT_FILE=FILE, or ask under the name that the certificate is for"}
	}
	if err != nil {
		return nil, &failure{status: statusUnreachable, message: fmt.Sprintf("no gateway answers at %s: %s", address, reason(err)),
			hint: "start one with catalyst gateway, or name one that runs with --gateway (CATALYST_GATEWAY)"}
	}
	defer response.Body.Close()
	return io.ReadAll(io.LimitReader(response.Body, answerBytes))
}

func (q *querying) print(w io.Writer, text []byte, answer graphqlAnswer) error {
	if q.output != "json" {
		text = answer.Data
	}
	if len(text) == 0 || q.output != "json" && string(text) == "null" {
		return nil
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, bytes.TrimSpace(text), "", "  "); err != nil {
		return refused("", "the gateway answered no JSON: %v", err)
	}
	_, err := fmt.Fprintln(w, pretty.String())
	return err
}

// timing is who answered and how long it took.
func (a graphqlAnswer) timing(took time.Duration) string {
	var by []string
	for _, s := range a.Extensions.Services {
		said := fmt.Sprintf("%s in %.1f ms", s.Name, s.MS)
		if !s.OK {
			said = s.Name + " failed after " + fmt.Sprintf("%.1f ms", s.MS)
		}
		by = append(by, said)
	}
	whole := fmt.Sprintf("%.1f ms in all", float64(took.Microseconds())/1000)
	if len(by) == 0 {
		return "answered by the gateway; " + whole
	}
	return "answered by " + strings.Join(by, ", ") + "; " + whole
}

// fault is what the response says went wrong.
func (a graphqlAnswer) fault() error {
	if len(a.Errors) == 0 {
		return nil
	}
	var said []string
	for _, e := range a.Errors {
		text := oneLine(e.Message)
		if len(e.Path) > 0 {
			text = strings.Trim(strings.ReplaceAll(fmt.Sprint(e.Path), " ", "."), "[]") + ": " + text
		}
		said = append(said, text)
	}
	return refused("catalyst status shows the services that the gateway has", "%s", strings.Join(said, "; "))
}
