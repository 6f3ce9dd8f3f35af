//! `portcullis sample`: the sample MCP server alone.

use std::{net::SocketAddr, sync::Arc};

use portcullis_gateway::system::{SystemClock, SystemRng};
use portcullis_sample::Sample;
use tokio::net::TcpListener;

use crate::{
    failure::{Failure, Result},
    output::{LINK, line, styled},
    stop::Stop,
};

/// Serves until it is told to stop.
pub async fn run(listen: SocketAddr) -> Result<()> {
    let mut stop = Stop::listen()?;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Failure::new(format!("cannot listen on {listen}: {error}")).help("choose another address with --listen ADDR")
    })?;
    let address = listener.local_addr().map_err(|error| Failure::new(format!("cannot listen on {listen}: {error}")))?;
    let sample = Sample::new(Arc::new(SystemClock), Arc::new(SystemRng::new()));
    let url = format!("http://{address}/mcp");
    line(format_args!("The sample server is at {}", styled(LINK, &url)));
    line(format_args!(
        "It has no sign-in of its own. To put the gateway in front: portcullis protect {url} --name notebook"
    ));
    tokio::select! {
        ended = sample.serve(listener) => ended.map_err(|error| Failure::new(format!("the sample server stopped: {error}"))),
        () = stop.asked() => {
            sample.close();
            Ok(())
        }
    }
}
