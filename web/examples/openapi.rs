//! Prints the OpenAPI document: `cargo run -p tidemark-web --example openapi > docs/openapi.json`.

fn main() {
    print!("{}", tidemark_web::server::openapi());
}
