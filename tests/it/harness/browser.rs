//! A person's browser, as far as sign-in needs one: cookie jar by host, redirects, forms.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;

use super::{Answer, Client, Person, Site};

const MOST_REDIRECTS: usize = 10;

/// An address split as a browser splits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) host: String,
    pub(crate) authority: String,
    pub(crate) target: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Self {
        let rest = text
            .strip_prefix("https://")
            .unwrap_or_else(|| panic!("not an https address: {text}"));
        let split = rest.find('/').unwrap_or(rest.len());
        let (authority, target) = rest.split_at(split);
        let host = authority.split(':').next().unwrap().to_owned();
        let target = if target.is_empty() { "/" } else { target };
        Self {
            host,
            authority: authority.to_owned(),
            target: target.split('#').next().unwrap().to_owned(),
        }
    }

    /// What a link or `Location` on this page means.
    pub(crate) fn join(&self, link: &str) -> Self {
        if link.starts_with("https://") {
            return Self::parse(link);
        }
        let target = match link.chars().next() {
            Some('/') => link.to_owned(),
            None => self.target.clone(),
            Some('?') => format!("{}{link}", self.target.split('?').next().unwrap()),
            Some(_) => format!(
                "{}/{link}",
                self.target
                    .rsplit_once('/')
                    .map_or("", |(folder, _)| folder)
            ),
        };
        Self {
            target,
            ..self.clone()
        }
    }
}

/// A page and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) answer: Answer,
}

/// A form as it stands on a page.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) fields: BTreeMap<String, String>,
}

impl Page {
    pub(crate) fn status(&self) -> u16 {
        self.answer.status
    }

    pub(crate) fn text(&self) -> String {
        self.answer.text()
    }

    /// The first form with a field of this name.
    pub(crate) fn form_with(&self, field: &str) -> Form {
        let text = self.text();
        forms(&text)
            .into_iter()
            .find(|form| form.fields.contains_key(field))
            .unwrap_or_else(|| {
                panic!(
                    "no form with `{field}` on {:?} ({}):\n{text}",
                    self.url,
                    self.status()
                )
            })
    }

    /// The first form that is sent to an action containing `part`.
    pub(crate) fn form_to(&self, part: &str) -> Form {
        let text = self.text();
        forms(&text)
            .into_iter()
            .find(|form| form.action.contains(part))
            .unwrap_or_else(|| {
                panic!(
                    "no form to `{part}` on {:?} ({}):\n{text}",
                    self.url,
                    self.status()
                )
            })
    }
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let length = tag[start..].find('"')?;
    Some(&tag[start..start + length])
}

fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&lt;", "<")
        .replace("&#60;", "<")
        .replace("&gt;", ">")
        .replace("&#62;", ">")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}

fn forms(html: &str) -> Vec<Form> {
    let mut found = Vec::new();
    for piece in html.split("<form").skip(1) {
        let body = piece.split("</form>").next().unwrap();
        let tag = body.split('>').next().unwrap();
        let mut fields = BTreeMap::new();
        let inputs = body.split("<input").skip(1);
        // The button that says nothing is pressed where there is one, otherwise the first.
        let buttons = body.split("<button").skip(1);
        let named = |button: &str| attribute(button.split('>').next().unwrap(), "name").is_some();
        let pressed = buttons
            .clone()
            .take(1)
            .filter(|_| buttons.clone().all(named));
        for input in inputs.chain(pressed) {
            let tag = input.split('>').next().unwrap().replace('\n', " ");
            let Some(name) = attribute(&tag, "name") else {
                continue;
            };
            let radio = attribute(&tag, "type") == Some("radio");
            if radio && !tag.contains(" checked") {
                continue;
            }
            fields
                .entry(name.to_owned())
                .or_insert_with(|| unescape(attribute(&tag, "value").unwrap_or_default()));
        }
        found.push(Form {
            action: unescape(attribute(tag, "action").unwrap_or_default()),
            fields,
        });
    }
    found
}

pub(crate) fn urlencode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            b' ' => "+".to_owned(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// One person's browser.
pub(crate) struct Browser {
    client: Client,
    cookies: BTreeMap<String, BTreeMap<String, String>>,
}

impl Browser {
    pub(crate) fn new(site: &Site) -> Self {
        Self {
            client: site.client(),
            cookies: BTreeMap::new(),
        }
    }

    /// The `Cookie` header this browser would send to `host`.
    pub(crate) fn cookie_header(&self, host: &str) -> String {
        let jar = self.cookies.get(host).into_iter().flatten();
        jar.map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("; ")
    }

    pub(crate) fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.cookies.get(host)?.get(name).map(String::as_str)
    }

    pub(crate) fn set_cookie(&mut self, host: &str, name: &str, value: &str) {
        self.cookies
            .entry(host.to_owned())
            .or_default()
            .insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn forget_cookies(&mut self) {
        self.cookies.clear();
    }

    fn keep_cookies(&mut self, host: &str, answer: &Answer) {
        let jar = self.cookies.entry(host.to_owned()).or_default();
        for header in answer.headers.get_all(http::header::SET_COOKIE) {
            let text = header.to_str().unwrap();
            let (pair, attributes) = text.split_once(';').unwrap_or((text, ""));
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// A navigation as Chromium sends it, without following redirects.
    pub(crate) async fn visit(&mut self, url: &str) -> Page {
        self.request(Method::GET, Url::parse(url), None, &[]).await
    }

    /// Sends one request with this browser's cookies; `form` makes it a form submission.
    pub(crate) async fn request(
        &mut self,
        method: Method,
        url: Url,
        form: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Page {
        let mut request = Request::builder()
            .method(method)
            .uri(&url.target)
            .header("host", &url.authority);
        let given = |name: &str| {
            headers
                .iter()
                .any(|(own, _)| own.eq_ignore_ascii_case(name))
        };
        for (name, value) in [
            (
                "accept",
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            ),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-site", "same-origin"),
            ("user-agent", "Mozilla/5.0 (test)"),
        ] {
            if !given(name) {
                request = request.header(name, value);
            }
        }
        if form.is_some() {
            request = request.header("content-type", "application/x-www-form-urlencoded");
            if !given("origin") {
                request = request.header("origin", format!("https://{}", url.authority));
            }
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let cookies = self.cookie_header(&url.host);
        if !cookies.is_empty() {
            request = request.header("cookie", cookies);
        }
        let body = Full::new(Bytes::from(form.unwrap_or_default().to_owned()));
        let answer = self
            .client
            .send(&url.host, request.body(body).unwrap())
            .await;
        self.keep_cookies(&url.host, &answer);
        Page { url, answer }
    }

    /// Follows redirects from `page` to the first answer that is none.
    pub(crate) async fn follow(&mut self, mut page: Page) -> Page {
        for _ in 0..MOST_REDIRECTS {
            if !matches!(page.status(), 301 | 302 | 303 | 307 | 308) {
                return page;
            }
            let next = page.url.join(page.answer.location());
            page = self.request(Method::GET, next, None, &[]).await;
        }
        panic!(
            "more than {MOST_REDIRECTS} redirects, last to {:?}",
            page.url
        );
    }

    /// Opens `url` as a person does: redirects are followed.
    pub(crate) async fn open(&mut self, url: &str) -> Page {
        let page = self.visit(url).await;
        self.follow(page).await
    }

    /// Submits a form of `page` with some fields filled in; redirects are not followed.
    pub(crate) async fn submit(
        &mut self,
        page: &Page,
        form: &Form,
        filled: &[(&str, &str)],
    ) -> Page {
        let mut fields = form.fields.clone();
        for (name, value) in filled {
            fields.insert((*name).to_owned(), (*value).to_owned());
        }
        let body: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", urlencode(name), urlencode(value)))
            .collect();
        let url = page.url.join(&form.action);
        self.request(Method::POST, url, Some(&body.join("&")), &[])
            .await
    }

    /// Both steps of sign-in, starting from wherever `url` sends a stranger; gives the page that follows.
    pub(crate) async fn sign_in(&mut self, url: &str, person: &Person) -> Page {
        let page = self.open(url).await;
        let page = self
            .give_password(&page, person.name, super::people::PASSWORD)
            .await;
        let form = page.form_with("code");
        let code = person.fresh_code();
        let page = self.submit(&page, &form, &[("code", &code)]).await;
        self.follow(page).await
    }

    /// The first step of sign-in.
    pub(crate) async fn give_password(&mut self, page: &Page, name: &str, password: &str) -> Page {
        let form = page.form_with("password");
        let page = self
            .submit(page, &form, &[("name", name), ("password", password)])
            .await;
        self.follow(page).await
    }
}
