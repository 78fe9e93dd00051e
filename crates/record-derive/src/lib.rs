//! `#[derive(Record)]`: a struct becomes a log record.
//!
//! The struct names its log with `#[record(path = "conn")]`. Each field is one column, in order, named after the
//! field; `#[record(name = "id.orig_h")]` gives another name, and `#[record(id)]` on a `ConnId` makes the four
//! columns `id.orig_h id.orig_p id.resp_h id.resp_p`. `#[record(string)]` says that the column is a string where the
//! field is a name of a closed list. The doc comment of a field is its text in `docs/logs.md`.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Expr, Field, Fields, Lit, LitStr, Meta, parse_macro_input};

/// Implements `weir_record::Record` for a struct with named fields.
#[proc_macro_derive(Record, attributes(record))]
pub fn derive_record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|e| e.to_compile_error()).into()
}

#[derive(Default)]
struct Options {
    path: Option<LitStr>,
    name: Option<LitStr>,
    id: bool,
    string: bool,
}

fn expand(input: &DeriveInput) -> syn::Result<Tokens> {
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new_spanned(input, "a record is a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(syn::Error::new_spanned(input, "a record has named fields"));
    };
    let path = options(&input.attrs)?.path;
    let path = path.ok_or_else(|| syn::Error::new_spanned(input, "missing #[record(path = \"...\")]"))?;
    let doc = doc(&input.attrs);
    let columns = fields.named.iter().map(column).collect::<syn::Result<Vec<_>>>()?;
    let (descriptions, visits): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let ident = &input.ident;
    Ok(quote! {
        impl ::weir_record::Record for #ident {
            const PATH: &'static str = #path;
            const DOC: &'static str = #doc;
            const FIELDS: &'static [::weir_record::Field] = &[#(#descriptions)*];
            fn visit<V: ::weir_record::Visitor>(&self, visitor: &mut V) {
                #(#visits)*
            }
        }
    })
}

/// The description and the visit of one field: one column, or four for a connection's endpoints.
fn column(field: &Field) -> syn::Result<(Tokens, Tokens)> {
    let options = options(&field.attrs)?;
    let doc = doc(&field.attrs);
    let ident = field.ident.as_ref().ok_or_else(|| syn::Error::new_spanned(field, "unnamed"))?;
    let ty = &field.ty;
    if options.id {
        let parts = [
            ("id.orig_h", quote!(orig_h), "The originator's address."),
            ("id.orig_p", quote!(orig_p), "The originator's port; for ICMP the type."),
            ("id.resp_h", quote!(resp_h), "The responder's address."),
            ("id.resp_p", quote!(resp_p), "The responder's port; for ICMP the code or the answer's type."),
        ];
        let described = parts.iter().map(|(name, part, doc)| {
            let kind = if name.ends_with("_h") { quote!(Addr) } else { quote!(Port) };
            let _ = part;
            quote!(::weir_record::Field { name: #name, kind: ::weir_record::Kind::#kind, doc: #doc },)
        });
        let visited = parts.iter().map(|(name, part, _)| {
            let wrapped = if name.ends_with("_h") {
                quote!(self.#ident.#part)
            } else {
                quote!(::weir_record::Port(self.#ident.#part))
            };
            quote!(visitor.field(#name); ::weir_record::Value::visit(&#wrapped, visitor);)
        });
        return Ok((quote!(#(#described)*), quote!(#(#visited)*)));
    }
    let name = options.name.map_or_else(|| ident.to_string(), |n| n.value());
    let name = name.trim_start_matches("r#");
    let kind = if options.string {
        quote!(::weir_record::Kind::String)
    } else {
        quote!(<#ty as ::weir_record::Value>::KIND)
    };
    let described = quote!(::weir_record::Field {
        name: #name,
        kind: #kind,
        doc: #doc,
    },);
    Ok((described, quote!(visitor.field(#name); ::weir_record::Value::visit(&self.#ident, visitor);)))
}

fn options(attrs: &[Attribute]) -> syn::Result<Options> {
    let mut found = Options::default();
    for attr in attrs.iter().filter(|a| a.path().is_ident("record")) {
        attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("path") {
                found.path = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("name") {
                found.name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("id") {
                found.id = true;
            } else if meta.path.is_ident("string") {
                found.string = true;
            } else {
                return Err(meta.error("expected path, name, id or string"));
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// The doc comment as one line.
#[allow(clippy::wildcard_enum_match_arm, reason = "a doc comment is one shape of syntax among all of them")]
fn doc(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter(|a| a.path().is_ident("doc")).filter_map(|a| match &a.meta {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(text) => match &text.lit {
                Lit::Str(s) => Some(s.value().trim().to_string()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ").trim().to_string()
}
