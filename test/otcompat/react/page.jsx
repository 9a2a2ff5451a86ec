// A call as an application of opentok-react writes it. The user is the token.
import React from 'react';
import ReactDOM from 'react-dom';
import { OTPublisher, OTSession, OTStreams, OTSubscriber } from 'opentok-react';

const user = new URLSearchParams(location.search).get('user');
const log = window.log = [];
const failed = (error) => log.push(`${error.name}: ${error.message}`);

class Call extends React.Component {
  state = { video: true, mounted: true };

  render() {
    return this.state.mounted && (
      <OTSession apiKey="46000001" sessionId="room" token={user} onConnect={() => log.push('connected')} onError={failed}>
        <OTPublisher
          properties={{ name: `of ${user}`, publishVideo: this.state.video }}
          eventHandlers={{ streamCreated: () => log.push('streamCreated'), destroyed: () => log.push('destroyed') }}
          onPublish={() => log.push('published')} onError={failed}
        />
        <OTStreams>
          <OTSubscriber
            properties={{ width: 320, height: 240 }}
            eventHandlers={{ videoDisabled: ({ reason }) => log.push(`videoDisabled ${reason}`) }}
            onSubscribe={() => log.push('subscribed')} onError={failed}
          />
        </OTStreams>
      </OTSession>
    );
  }
}

window.call = ReactDOM.render(<Call />, document.getElementById('call'));
