package samples

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func started(t *testing.T, name string) string {
	t.Helper()
	for _, s := range All() {
		if s.Name == name {
			server := httptest.NewServer(s)
			t.Cleanup(server.Close)
			return server.URL + "/graphql"
		}
	}
	t.Fatalf("there is no sample %s", name)
	return ""
}

func post(t *testing.T, url, query string) (int, string) {
	t.Helper()
	response, err := http.Post(url, "application/json", strings.NewReader(`{"query":`+quoted(query)+`}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(body))
}

func quoted(text string) string { return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"` }

func TestSamplesAnswer(t *testing.T) {
	for _, c := range []struct{ sample, query, want string }{
		{"books", `{ books(author: "Mary Shelley") { id title year } }`, `{"data":{"books":[{"id":"frankenstein","title":"Frankenstein","year":1818}]}}`},
		{"books", `{ book(id: "rur") { author } none: book(id: "x") { author } }`, `{"data":{"book":{"author":"Karel Čapek"},"none":null}}`},
		{"reviews", `{ reviews(book: "rur") { stars } }`, `{"data":{"reviews":[{"stars":4}]}}`},
		{"reviews", `mutation { addReview(book: "rur", stars: 6, text: "!") { stars } }`,
			`{"errors":[{"message":"stars is 6: want 1 to 5","path":["addReview"]}],"data":null}`},
	} {
		if status, got := post(t, started(t, c.sample), c.query); status != http.StatusOK || got != c.want {
			t.Errorf("%s: %d %s\nwant %s", c.query, status, got, c.want)
		}
	}
}

func TestReviewsAreBounded(t *testing.T) {
	url := started(t, "reviews")
	for range reviewsKept + 5 {
		post(t, url, `mutation { addReview(book: "rur", stars: 1, text: "more") { stars } }`)
	}
	if _, got := post(t, url, `{ reviews { stars } }`); strings.Count(got, `{"stars":1}`) != reviewsKept {
		t.Errorf("kept %d reviews, want %d", strings.Count(got, `{"stars":1}`), reviewsKept)
	}
	if _, got := post(t, url, `mutation { addReview(book: "rur", stars: 1, text: "`+strings.Repeat("x", reviewBytes)+`") { stars } }`); !strings.Contains(got, "at most 1000 bytes") {
		t.Errorf("a long review: %s", got)
	}
}

func TestReviewsAreHeardOfAsTheyCome(t *testing.T) {
	url := started(t, "reviews")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"query":"subscription { reviewAdded { text } }"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream")
	response, err := http.DefaultClient.Do(request) // returns when the subscription is heard
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	post(t, url, `mutation { addReview(book: "rur", stars: 3, text: "fresh") { stars } }`)
	lines := bufio.NewScanner(response.Body)
	var got []string
	for len(got) < 2 && lines.Scan() {
		got = append(got, lines.Text())
	}
	if want := `event: next data: {"data":{"reviewAdded":{"text":"fresh"}}}`; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatIsNoRequestIsRefused(t *testing.T) {
	url := started(t, "books")
	if response, err := http.Get(url); err != nil || response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v, %v", response, err)
	}
	if response, err := http.Post(strings.TrimSuffix(url, "/graphql"), "application/json", strings.NewReader("{}")); err != nil || response.StatusCode != http.StatusNotFound {
		t.Errorf("another path: %v, %v", response, err)
	}
	if response, err := http.Post(url, "text/plain", strings.NewReader("{}")); err != nil || response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("plain text: %v, %v", response, err)
	}
	if status, _ := post(t, url, strings.Repeat("x", bodyBytes)); status != http.StatusBadRequest {
		t.Errorf("a long body: %d", status)
	}
}
